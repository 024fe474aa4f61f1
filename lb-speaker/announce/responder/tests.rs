//! Each rule of the responder, and a million bytes of nonsense.

use std::net::Ipv6Addr;

use super::*;
use crate::announce::ndp::solicited_node;

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);
const LAN: Lan = Lan {
    index: 7,
    mac: OURS,
};
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 151);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 152);
const WATCHED: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 153);
const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd08, 0, 0, 0, 0, 0, 0, 0x151);

fn table() -> Table {
    Table::new(
        [
            (VIP.into(), vec![7]),
            (ELSEWHERE.into(), vec![8]),
            (WATCHED.into(), vec![]),
            (VIP6.into(), vec![7]),
        ],
        vec![OURS],
    )
}

fn request(target: Ipv4Addr) -> ArpFrame {
    ArpFrame {
        sender: Ipv4Addr::new(192, 168, 8, 12),
        ..ArpFrame::probe(THEIRS, target)
    }
}

fn arp(frame: &ArpFrame) -> Handled {
    table().arp(&frame.encode(), LAN)
}

fn answered(handled: &Handled) -> ArpFrame {
    let answer = handled.answer.as_ref().unwrap();
    ArpFrame::parse(answer.frame.as_bytes()).unwrap()
}

#[test]
fn rfc826_a_request_is_answered_to_its_sender() {
    let handled = arp(&request(VIP));
    let reply = answered(&handled);
    assert_eq!(handled.answer.as_ref().unwrap().frame.as_bytes().len(), 60);
    assert_eq!((reply.destination, reply.source), (THEIRS, OURS));
    assert_eq!(reply.operation, Operation::Reply);
    assert_eq!((reply.sender_mac, reply.sender), (OURS, VIP));
    assert_eq!(
        (reply.target_mac, reply.target),
        (THEIRS, Ipv4Addr::new(192, 168, 8, 12))
    );
    assert_eq!(handled.sighting, None);
    // The answer goes to the ARP sender, not to the Ethernet source.
    let mut relayed = request(VIP);
    relayed.source = Mac([2, 0, 0, 0, 0, 9]);
    assert_eq!(answered(&arp(&relayed)).destination, THEIRS);
    // Unicast to us is as good as broadcast.
    let mut unicast = request(VIP);
    unicast.destination = OURS;
    assert!(arp(&unicast).answer.is_ok());
}

#[test]
fn metallb_drop_reasons() {
    let mut reply = request(VIP);
    reply.operation = Operation::Reply;
    assert_eq!(arp(&reply).answer, Err(DropReason::NotRequest));
    let mut to_others = request(VIP);
    to_others.destination = THEIRS;
    assert_eq!(arp(&to_others).answer, Err(DropReason::EthernetDestination));
    let unknown = Ipv4Addr::new(192, 168, 8, 1);
    assert_eq!(arp(&request(unknown)).answer, Err(DropReason::NotAnnounced));
    assert_eq!(arp(&request(WATCHED)).answer, Err(DropReason::NotAnnounced));
    assert_eq!(
        arp(&request(ELSEWHERE)).answer,
        Err(DropReason::NotOnInterface)
    );
    let mut group = request(VIP);
    group.sender_mac = Mac::BROADCAST;
    assert_eq!(arp(&group).answer, Err(DropReason::Sender));
}

#[test]
fn malformed_frames_are_dropped_for_what_they_are() {
    let good = request(VIP).encode();
    for length in 0..arp::LENGTH {
        let handled = table().arp(&good[..length], LAN);
        assert_eq!(handled.answer, Err(DropReason::Truncated), "{length}");
    }
    assert!(table().arp(&good[..arp::LENGTH], LAN).answer.is_ok());
    let mut long = good.to_vec();
    long.resize(arp::LONGEST + 1, 0);
    assert_eq!(table().arp(&long, LAN).answer, Err(DropReason::Oversized));
    for byte in 12..20 {
        let mut foreign = good;
        foreign[byte] ^= 1;
        assert_eq!(table().arp(&foreign, LAN).answer, Err(DropReason::Foreign));
    }
}

#[test]
fn rfc5227_1_1_and_2_4_probes_and_claims_are_told_apart() {
    let probe = arp(&ArpFrame::probe(THEIRS, VIP));
    assert!(probe.answer.is_ok(), "answering is the defence");
    assert_eq!(probe.sighting.unwrap().kind, SightingKind::Probe);
    for operation in [Operation::Request, Operation::Reply] {
        for address in [VIP, WATCHED] {
            let sighting = arp(&ArpFrame::gratuitous(THEIRS, address, operation))
                .sighting
                .unwrap();
            assert_eq!(
                (sighting.address, sighting.mac, sighting.kind),
                (address.into(), THEIRS, SightingKind::Claim)
            );
        }
    }
    // Our own frames, seen on another interface of the same segment.
    let own = ArpFrame::gratuitous(OURS, VIP, Operation::Request);
    assert_eq!(arp(&own).sighting, None);
}

fn solicitation() -> NdpFrame {
    NdpFrame {
        from: "fe80::2".parse().unwrap(),
        link_layer: Some(THEIRS),
        ..NdpFrame::probe(THEIRS, VIP6)
    }
}

fn ndp(frame: &NdpFrame) -> Handled {
    table().ndp(&frame.encode(), LAN)
}

fn advertised(handled: &Handled) -> NdpFrame {
    NdpFrame::parse(handled.answer.as_ref().unwrap().frame.as_bytes()).unwrap()
}

#[test]
fn rfc4861_7_2_4_a_solicitation_is_answered() {
    let handled = ndp(&solicitation());
    let answer = advertised(&handled);
    assert_eq!((answer.destination, answer.source), (THEIRS, OURS));
    assert_eq!(answer.to, "fe80::2".parse::<Ipv6Addr>().unwrap());
    assert_eq!((answer.from, answer.target), (VIP6, VIP6));
    assert_eq!(answer.kind, Kind::Advertisement { solicited: true });
    assert_eq!(answer.link_layer, Some(OURS));
    // Override is set.
    let bytes = handled.answer.unwrap();
    assert_eq!(bytes.frame.as_bytes()[58] & 0x20, 0x20);
}

#[test]
fn rfc4861_7_3_3_unicast_reachability_probes_are_answered() {
    let mut unicast = solicitation();
    unicast.destination = OURS;
    unicast.to = VIP6;
    unicast.link_layer = None;
    assert_eq!(advertised(&ndp(&unicast)).destination, THEIRS);
}

#[test]
fn rfc4862_5_4_3_duplicate_address_detection_is_defended() {
    let handled = ndp(&NdpFrame::probe(THEIRS, VIP6));
    assert_eq!(handled.sighting.unwrap().kind, SightingKind::Probe);
    let answer = advertised(&handled);
    assert_eq!(answer.to, ndp::ALL_NODES);
    assert_eq!(answer.destination, Mac([0x33, 0x33, 0, 0, 0, 1]));
    assert_eq!(answer.kind, Kind::Advertisement { solicited: false });
}

#[test]
fn rfc4861_7_1_1_invalid_solicitations_are_ignored() {
    let good = solicitation().encode();
    let spoilt = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        edit(&mut bytes);
        table().ndp(&bytes, LAN).answer
    };
    assert!(spoilt(&|_| {}).is_ok());
    assert_eq!(spoilt(&|b| b[21] = 64), Err(DropReason::Invalid)); // hop limit
    assert_eq!(spoilt(&|b| b[56] ^= 1), Err(DropReason::Invalid)); // checksum
    assert_eq!(spoilt(&|b| b[20] = 17), Err(DropReason::Foreign)); // UDP
    for length in 0..good.len() {
        assert!(table().ndp(&good[..length], LAN).answer.is_err());
    }
    let mut lying = NdpFrame::probe(THEIRS, VIP6);
    lying.link_layer = Some(THEIRS);
    assert_eq!(ndp(&lying).answer, Err(DropReason::Invalid));
    let mut group = solicitation();
    group.target = solicited_node(VIP6);
    assert_eq!(ndp(&group).answer, Err(DropReason::Invalid));
}

#[test]
fn an_advertisement_of_another_is_a_claim() {
    let sighting = ndp(&NdpFrame::unsolicited(THEIRS, VIP6)).sighting.unwrap();
    assert_eq!((sighting.mac, sighting.kind), (THEIRS, SightingKind::Claim));
    assert_eq!(
        solicited_node(VIP6),
        "ff02::1:ff00:151".parse::<Ipv6Addr>().unwrap()
    );
}

/// The same as fuzz/fuzz_targets/arp.rs, from fixed seeds: no input panics, and an answer is always
/// a well-formed reply about an announced address.
#[test]
fn seeded_nonsense_never_panics() {
    let table = table();
    let bases = [request(VIP).encode().to_vec(), solicitation().encode()];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut answers = 0;
    for round in 0..200_000u64 {
        let mut bytes = bases[(round % 2) as usize].clone();
        if round % 5 == 0 {
            bytes = (0..random() % 160).map(|_| random() as u8).collect();
        }
        for _ in 0..random() % 4 {
            let at = random() as usize % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random() as u8;
            }
        }
        bytes.truncate(bytes.len() - (random() % 3) as usize % (bytes.len() + 1).min(3));
        for handled in [table.arp(&bytes, LAN), table.ndp(&bytes, LAN)] {
            let Ok(answer) = handled.answer else { continue };
            answers += 1;
            assert!([IpAddr::V4(VIP), IpAddr::V6(VIP6)].contains(&answer.address));
            match answer.frame {
                AnswerFrame::Arp(frame) => {
                    let reply = ArpFrame::parse(&frame).unwrap();
                    assert_eq!((reply.sender, reply.sender_mac), (VIP, OURS));
                    assert!(!reply.destination.is_group());
                }
                AnswerFrame::Ndp(frame) => {
                    assert_eq!(NdpFrame::parse(&frame).unwrap().link_layer, Some(OURS));
                }
            }
        }
    }
    assert!(answers > 10_000, "{answers}");
}
