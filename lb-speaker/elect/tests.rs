//! The order of MetalLB's speakers, from its own vectors.

use super::*;

fn order(nodes: &[&'static str], address: &str) -> Vec<&'static str> {
    let mut candidates: Vec<Candidate<'static>> = nodes
        .iter()
        .map(|node| Candidate { node, weight: 0 })
        .collect();
    rank(&mut candidates, address.parse().unwrap());
    candidates.iter().map(|candidate| candidate.node).collect()
}

#[test]
fn metallb_vectors() {
    let abc = ["node-a", "node-b", "node-c"];
    assert_eq!(order(&abc, "10.0.0.1"), ["node-b", "node-a", "node-c"]);
    assert_eq!(order(&abc, "10.0.0.2"), ["node-b", "node-c", "node-a"]);
    assert_eq!(order(&abc, "10.20.30.2"), ["node-c", "node-a", "node-b"]);
    assert_eq!(order(&abc, "2001:db8::1"), ["node-b", "node-a", "node-c"]);
    assert_eq!(order(&["iris1", "iris2"], "10.20.30.1")[0], "iris2");
    assert_eq!(order(&["iris1", "iris2"], "10.20.30.2")[0], "iris1");
    assert_eq!(
        order(&["edge-a", "edge-b", "worker-a", "worker-b"], "10.20.30.1"),
        ["edge-b", "worker-a", "edge-a", "worker-b"]
    );
    let three = ["node1", "node2", "node3"];
    assert_eq!(order(&three, "192.168.1.240"), ["node3", "node1", "node2"]);
    assert_eq!(order(&three, "192.168.1.241"), ["node1", "node3", "node2"]);
    assert_eq!(
        order(&three, "fc00:f853:ccd:e799::1"),
        ["node2", "node3", "node1"]
    );
    assert_eq!(
        order(&["n0", "n1", "n2", "n3", "n4"], "1000::"),
        ["n3", "n4", "n0", "n2", "n1"]
    );
}

#[test]
fn digest_bytes() {
    let b = digest("node-b", "10.0.0.1".parse().unwrap());
    assert_eq!(b[..4], [0x2a, 0xca, 0xe8, 0x85]);
    let a = digest("node-a", "10.0.0.1".parse().unwrap());
    assert_eq!(a[..4], [0xdd, 0x41, 0x59, 0x1f]);
}

#[test]
fn spread_of_metallb() {
    let mut count = [0; 3];
    for last in 0..=255u8 {
        let first = order(&["node1", "node2", "node3"], &format!("10.0.0.{last}"))[0];
        let index = usize::from(first.as_bytes()[4] - b'1');
        count[index] += 1;
    }
    assert_eq!(count, [88, 77, 91]);
}

#[test]
fn weight_goes_before_hash() {
    let mut candidates = [
        Candidate {
            node: "node-b",
            weight: 0,
        },
        Candidate {
            node: "node-c",
            weight: 5,
        },
    ];
    rank(&mut candidates, "10.0.0.1".parse().unwrap());
    assert_eq!(candidates[0].node, "node-c");
}
