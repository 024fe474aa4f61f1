//! 10,000 Services: from nothing, and again when one more comes.
#![allow(clippy::unwrap_used, missing_docs)] // inputs are constants; the macros make items

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gatehouse_config::ObjectKey;
use gatehouse_config::model::{
    AddressRange, AddressRequest, Pool, Port, Service, TrafficPolicy, TransportProtocol,
};
use gatehouse_lb_speaker::Allocator;

fn service(number: u32) -> Service {
    Service {
        key: ObjectKey::new("default", format!("s{number:05}")),
        labels: Default::default(),
        namespace_labels: Default::default(),
        request: AddressRequest::default(),
        traffic_policy: TrafficPolicy::Cluster,
        selector: String::new(),
        is_gateway: false,
        keeps_ports: false,
        ports: vec![Port {
            name: String::new(),
            protocol: TransportProtocol::Tcp,
            port: 80,
            target_port: Some(80),
            node_port: None,
            endpoints: Vec::new(),
        }],
        endpoint_nodes: std::collections::BTreeSet::new(),
        cluster_ip: None,
        sources: None,
        created: None,
    }
}

fn pools(last: &str) -> Vec<Pool> {
    let range = AddressRange::new("10.0.0.0".parse().unwrap(), last.parse().unwrap()).unwrap();
    vec![Pool {
        name: "lan".to_owned(),
        labels: Default::default(),
        ranges: vec![range],
        auto_assign: true,
        avoid_buggy_ips: true,
        service_allocation: None,
    }]
}

fn allocate(criterion: &mut Criterion) {
    let services: Vec<Service> = (0..10_000).map(service).collect();
    let wide = pools("10.0.255.255");
    let narrow = pools("10.0.0.255");
    let mut group = criterion.benchmark_group("allocate");
    group.sample_size(10);
    group.bench_function("10,000 Services from nothing", |bencher| {
        bencher.iter(|| Allocator::new().converge(&services, Some(&wide)));
    });
    let mut settled = Allocator::new();
    settled.converge(&services, Some(&wide));
    let mut more = services.clone();
    more.push(service(10_000));
    group.bench_function("one more beside 10,000", |bencher| {
        bencher.iter_batched(
            || settled.clone(),
            |mut allocator| allocator.converge(&more, Some(&wide)),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("10,000 Services for 254 addresses", |bencher| {
        bencher.iter(|| Allocator::new().converge(&services, Some(&narrow)));
    });
    group.finish();
}

criterion_group!(benches, allocate);
criterion_main!(benches);
