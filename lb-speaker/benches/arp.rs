//! What one ARP request costs in the responder, with one and with many addresses announced.
#![allow(clippy::unwrap_used, missing_docs)] // inputs are constants; the macros make items

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use gatehouse_lb_speaker::announce::Mac;
use gatehouse_lb_speaker::announce::arp::ArpFrame;
use gatehouse_lb_speaker::announce::responder::{Lan, Table};

fn arp(criterion: &mut Criterion) {
    let lan = Lan {
        index: 2,
        mac: Mac([2, 0, 0, 0, 0, 1]),
    };
    let from = Mac([2, 0, 0, 0, 0, 2]);
    let mut group = criterion.benchmark_group("arp");
    for count in [1u32, 10_000] {
        let first = u32::from(Ipv4Addr::new(10, 0, 0, 0));
        let rows = (0..count).map(|n| (IpAddr::V4(Ipv4Addr::from(first + n)), vec![2]));
        let table = Table::new(rows, vec![lan.mac]);
        let ours = ArpFrame::probe(from, Ipv4Addr::new(10, 0, 0, 0)).encode();
        let other = ArpFrame::probe(from, Ipv4Addr::new(172, 16, 0, 1)).encode();
        group.bench_function(format!("answered, {count} announced"), |bencher| {
            bencher.iter(|| table.arp(black_box(&ours), lan));
        });
        group.bench_function(format!("dropped, {count} announced"), |bencher| {
            bencher.iter(|| table.arp(black_box(&other), lan));
        });
    }
    group.finish();
}

criterion_group!(benches, arp);
criterion_main!(benches);
