//! CPU of the carrying thread per gigabyte, beside HAProxy in mode tcp in the same run.
//!
//! `cargo bench -p gatehouse-gateway --bench l4 [-- GIGABYTES]`. CPU time is from schedstat
//! (ns on CPU), so other work on the machine disturbs it little; the sender and the sink are
//! threads of this process and are not counted. Without haproxy on the PATH its lines are left out.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use gatehouse_gateway::l4::{Memory, TcpCounters, TcpSettings, carry};
use gatehouse_gateway::net::{BoundTcp, ConnectOptions, ListenOptions, Pipes, connect};
use gatehouse_gateway::worker::buffers::Buffers;
use rustix::net::RecvFlags;
use tokio::task::LocalSet;

const ROUNDS: usize = 3;

fn main() {
    let gigabytes: f64 = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(2.0);
    let sink = sink();
    let mut proxies = vec![gatehouse(sink)];
    proxies.extend(haproxy(sink));
    println!(
        "{:34} {:>10} {:>12} {:>10}",
        "", "ms CPU/GB", "GB/s", "µs/trip"
    );
    for connections in [1, 16] {
        for _ in 0..ROUNDS {
            for proxy in &proxies {
                bulk(proxy, connections, gigabytes);
            }
        }
    }
    for _ in 0..ROUNDS {
        for proxy in &proxies {
            trips(proxy, 20_000);
        }
    }
}

struct Proxy {
    name: &'static str,
    address: SocketAddr,
    /// The schedstat of the thread that carries.
    schedstat: String,
    child: Option<Child>,
}

impl Proxy {
    fn cpu(&self) -> Duration {
        let text = fs::read_to_string(&self.schedstat).expect("schedstat of a running thread");
        let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
        Duration::from_nanos(ns.expect("schedstat begins with ns on CPU"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Takes everything and echoes what begins with a `t`.
fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || drink(stream));
        }
    });
    address
}

fn drink(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    stream.set_nodelay(true)?;
    let n = stream.read(&mut buffer)?;
    if buffer.first() == Some(&b't') {
        stream.write_all(buffer.get(..n).unwrap_or_default())?;
        loop {
            let n = stream.read(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            stream.write_all(buffer.get(..n).unwrap_or_default())?;
        }
    }
    // TRUNC on a stream throws bytes away without a copy, which leaves more CPU to the rest.
    while rustix::net::recv(&stream, &mut *buffer, RecvFlags::TRUNC)?.1 > 0 {}
    Ok(())
}

fn gatehouse(sink: SocketAddr) -> Proxy {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let bound = BoundTcp::open(local, &ListenOptions::default()).expect("a port");
        let id = rustix::thread::gettid().as_raw_nonzero();
        tell.send((bound.local_addr(), id)).expect("main waits");
        LocalSet::new().block_on(&runtime, async move {
            let listener = bound.listener().expect("a listener");
            let pipes = Rc::new(Pipes::default());
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                let pipes = Rc::clone(&pipes);
                tokio::task::spawn_local(async move {
                    let upstream = connect(&sink.into(), &ConnectOptions::default()).await;
                    let (settings, counters) = (TcpSettings::default(), TcpCounters::default());
                    let upstream = upstream.expect("the sink accepts");
                    let memory = Memory {
                        pipes: &pipes,
                        buffers: &Buffers::default(),
                    };
                    let (mut client, mut upstream) = (client.into(), upstream);
                    carry(&mut client, &mut upstream, &settings, memory, &counters).await
                });
            }
        });
    });
    let (address, id) = told.recv().expect("the proxy starts");
    Proxy {
        name: "gatehouse",
        address,
        schedstat: format!("/proc/self/task/{id}/schedstat"),
        child: None,
    }
}

fn haproxy(sink: SocketAddr) -> Vec<Proxy> {
    let options = [
        ("haproxy", ""),
        ("haproxy splice-auto", "  option splice-auto\n"),
    ];
    options
        .into_iter()
        .filter_map(|(name, option)| {
            let free = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
            let config = format!(
                "global\n  nbthread 1\n  maxconn 1000\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
                 timeout client 1h\n  timeout server 1h\n{option}listen l\n  bind {free}\n  server s {sink}\n"
            );
            let file = std::env::temp_dir().join(format!("l4-bench-{}.cfg", free.port()));
            fs::write(&file, config).ok()?;
            let child = Command::new("haproxy")
                .arg("-db")
                .arg("-f")
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()?;
            let begun = Instant::now();
            while TcpStream::connect(free).is_err() {
                assert!(begun.elapsed() < Duration::from_secs(5), "haproxy did not start");
                thread::sleep(Duration::from_millis(10));
            }
            let _ = fs::remove_file(file);
            Some(Proxy {
                name,
                address: free,
                schedstat: format!("/proc/{}/schedstat", child.id()),
                child: Some(child),
            })
        })
        .collect()
}

fn bulk(proxy: &Proxy, connections: usize, gigabytes: f64) {
    let each = (gigabytes * 1e9) as usize / connections;
    let (cpu, begun) = (proxy.cpu(), Instant::now());
    let senders: Vec<_> = (0..connections)
        .map(|_| {
            let address = proxy.address;
            thread::spawn(move || {
                let chunk = vec![b'b'; 256 << 10];
                let mut stream = TcpStream::connect(address)?;
                let mut left = each;
                while left > 0 {
                    left -= stream.write(chunk.get(..left.min(chunk.len())).unwrap_or_default())?;
                }
                stream.shutdown(std::net::Shutdown::Write)?;
                // The end comes back once the sink has taken all.
                stream.read(&mut [0]).map(|_| ())
            })
        })
        .collect();
    for sender in senders {
        sender.join().expect("no panic").expect("all was sent");
    }
    let sent = (each * connections) as f64 / 1e9;
    println!(
        "{:34} {:>10.1} {:>12.2}",
        format!("{} bulk x{connections}", proxy.name),
        (proxy.cpu() - cpu).as_secs_f64() * 1e3 / sent,
        sent / begun.elapsed().as_secs_f64(),
    );
}

fn trips(proxy: &Proxy, count: u32) {
    let mut stream = TcpStream::connect(proxy.address).expect("the proxy accepts");
    stream.set_nodelay(true).expect("NODELAY");
    let message = [b't'; 200];
    let mut answer = [0; 200];
    let cpu = proxy.cpu();
    for _ in 0..count {
        stream.write_all(&message).expect("sent");
        stream.read_exact(&mut answer).expect("answered");
    }
    println!(
        "{:34} {:>10} {:>12} {:>10.2}",
        format!("{} 200 bytes there and back", proxy.name),
        "",
        "",
        (proxy.cpu() - cpu).as_secs_f64() * 1e6 / f64::from(count),
    );
}
