//! A worker in a test's own runtime, with a configuration in YAML and no listener: what is served is
//! handed to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use gatehouse_config::source::Directory;
use gatehouse_config::translate::{self, translate};
use tokio::sync::mpsc;

use crate::compile::{Place, Placement, RouteLists, compile};
use crate::observe::labels::LabelTable;
use crate::snapshot::{ServerId, Serves, Snapshot};
use crate::worker::listener::Slot;
use crate::worker::{Worker, WorkerSettings};

impl Worker {
    /// One that serves the first server of `yaml`, and the slot that its connections come by. To be
    /// called in a `LocalSet`.
    pub(crate) fn alone(settings: WorkerSettings, yaml: &str) -> (Rc<Self>, Rc<Slot>) {
        let mut directory = Directory::open_all([]).expect("nothing to open");
        directory.add_text("test.yaml", yaml);
        let resources = directory.load().resources;
        let translation = translate(&resources, &translate::Settings::default());
        let (refused, findings) = (&translation.refused, &translation.findings);
        assert!(refused.is_empty(), "{findings:#?}");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        let placement = Placement {
            places: vec![Place::Server { address, server: 0 }],
            ..Placement::default()
        };
        let snapshot = compile(
            &translation.model,
            &placement,
            &mut LabelTable::default(),
            &mut RouteLists::default(),
            &Snapshot::default(),
        );
        let (lost, _) = mpsc::unbounded_channel();
        let worker = Self::new(settings, None, lost);
        let view = worker
            .states
            .borrow_mut()
            .view(Arc::new(snapshot), &worker.random);
        *worker.view.borrow_mut() = Rc::new(view);
        let wheel = Rc::clone(&worker.wheel);
        tokio::task::spawn_local(async move { wheel.run().await });
        (worker, Slot::unheard(address, Serves::Http(ServerId(0))))
    }
}
