//! Listeners of a worker: accepting, and what each address serves.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::exchange::HttpConnection;
use crate::net::{AcceptError, Listener};
use crate::snapshot::{ClusterId, ServerId, Serves, Snapshot};
use crate::worker::udp::UdpSlot;
use crate::worker::{Key, Opened, Socket, Transport, Worker};

/// The pause after running out of files.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How long a listener that closes goes on taking what already waits in its queue.
const LAST_ACCEPTS: Duration = Duration::from_millis(20);

/// What one address serves; connections look here for each request.
#[derive(Debug)]
pub struct Slot {
    /// The address.
    pub address: SocketAddr,
    serves: Cell<Option<Serves>>,
}

impl Slot {
    /// The HTTP server; none once the listener was taken away.
    pub fn server(&self) -> Option<ServerId> {
        match self.serves.get() {
            Some(Serves::Http(server)) => Some(server),
            _ => None,
        }
    }

    /// The cluster to carry to; none once the listener was taken away.
    pub fn cluster(&self) -> Option<ClusterId> {
        match self.serves.get() {
            Some(Serves::Tcp(cluster) | Serves::Udp(cluster)) => Some(cluster),
            _ => None,
        }
    }
}

/// All listeners of a worker.
pub type Slots = HashMap<Key, Open>;

/// An open listener.
#[derive(Debug)]
pub struct Open {
    slot: Rc<Slot>,
    task: JoinHandle<()>,
    udp: Option<Rc<UdpSlot>>,
}

impl Worker {
    /// Gives each listener its new meaning and closes those that are gone.
    pub(super) fn assign_slots(&self, snapshot: &Snapshot) {
        let wanted = wanted(snapshot);
        let mut slots = self.slots.borrow_mut();
        slots.retain(|key, open| {
            let serves = wanted.get(key).copied();
            open.slot.serves.set(serves);
            match (&open.udp, serves) {
                (_, None) => open.task.abort(),
                (Some(udp), Some(_)) => udp.forget_lost_endpoints(),
                (None, Some(_)) => {}
            }
            serves.is_some()
        });
    }

    /// Opens listeners of the configuration in force; one that is there already is replaced.
    pub(super) fn open_slots(self: &Rc<Self>, opened: Vec<Opened>) {
        if opened.is_empty() {
            return;
        }
        let wanted = wanted(&self.view().snapshot);
        let mut slots = self.slots.borrow_mut();
        for Opened { address, socket } in opened {
            let transport = match socket {
                Socket::Tcp(_) => Transport::Tcp,
                Socket::Udp(_) => Transport::Udp,
            };
            let key = (address, transport);
            let Some(serves) = wanted.get(&key).copied() else {
                continue;
            };
            // A slot that is there has connections that look into it.
            let slot = match slots.get(&key) {
                Some(open) => Rc::clone(&open.slot),
                None => Rc::new(Slot {
                    address,
                    serves: Cell::new(Some(serves)),
                }),
            };
            match self.open(slot, socket) {
                Ok(open) => {
                    if let Some(before) = slots.insert(key, open) {
                        before.task.abort();
                    }
                }
                Err(error) => {
                    tracing::error!(%address, %error, "listener cannot be used");
                    self.lose(key);
                }
            }
        }
    }

    fn open(self: &Rc<Self>, slot: Rc<Slot>, socket: Socket) -> std::io::Result<Open> {
        match socket {
            Socket::Tcp(bound) => {
                let listener = bound.listener()?;
                let worker = Rc::clone(self);
                let accepting = Rc::clone(&slot);
                let task = tokio::task::spawn_local(async move {
                    worker.accept(&listener, &accepting).await;
                });
                Ok(Open {
                    slot,
                    task,
                    udp: None,
                })
            }
            Socket::Udp(bound) => {
                let udp = UdpSlot::new(Rc::clone(self), Rc::clone(&slot), bound)?;
                let carrier = udp.carrier();
                let task = tokio::task::spawn_local(carrier.run());
                Ok(Open {
                    slot,
                    task,
                    udp: Some(udp),
                })
            }
        }
    }

    /// Has a listener opened anew.
    fn lose(&self, key: Key) {
        // Without a control thread nobody opens anything.
        let _ = self.lost.send(key);
    }

    async fn accept(self: &Rc<Self>, listener: &Listener, slot: &Rc<Slot>) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.serve(slot, stream, peer),
                Err(AcceptError::Connection(_)) => {}
                Err(error @ AcceptError::Exhausted(_)) => {
                    tracing::warn!(address = %slot.address, %error, "cannot accept");
                    self.with_metrics(|metrics| metrics.limit_reached("open_files"));
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
                Err(error @ AcceptError::Listener(_)) => {
                    tracing::error!(address = %slot.address, %error, "listener is lost");
                    return self.lose((slot.address, Transport::Tcp));
                }
            }
        }
    }

    fn serve(self: &Rc<Self>, slot: &Rc<Slot>, stream: TcpStream, peer: SocketAddr) {
        let Some(admitted) = self.admit() else { return };
        let (worker, slot) = (Rc::clone(self), Rc::clone(slot));
        tokio::task::spawn_local(async move {
            let _admitted = admitted;
            match slot.serves.get() {
                Some(Serves::Http(_)) => {
                    HttpConnection::new(worker, slot, stream, peer)
                        .serve()
                        .await
                }
                Some(Serves::Tcp(cluster)) => worker.carry_tcp(cluster, stream, peer).await,
                Some(Serves::Udp(_)) | None => {}
            }
        });
    }

    /// Stops accepting. What waits in the queues already is taken first: closing a listener
    /// resets it.
    pub(super) async fn close_slots(&self) {
        tokio::time::sleep(LAST_ACCEPTS).await;
        for (_, open) in self.slots.borrow_mut().drain() {
            open.task.abort();
        }
    }
}

fn wanted(snapshot: &Snapshot) -> HashMap<Key, Serves> {
    let listeners = snapshot.listeners.iter();
    listeners
        .map(|listener| {
            let transport = listener.serves.transport();
            ((listener.address, transport), listener.serves)
        })
        .collect()
}
