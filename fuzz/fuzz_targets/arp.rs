//! The responder, fed any frame: it never panics, and what it answers is a well-formed reply about
//! an announced address. The same from fixed seeds: lb-speaker/announce/responder/tests.rs.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gatehouse_lb_speaker::announce::Mac;
use gatehouse_lb_speaker::announce::arp::ArpFrame;
use gatehouse_lb_speaker::announce::ndp::NdpFrame;
use gatehouse_lb_speaker::announce::responder::{AnswerFrame, Lan, Table};
use libfuzzer_sys::fuzz_target;

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 151);
const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd08, 0, 0, 0, 0, 0, 0, 0x151);

fuzz_target!(|frame: &[u8]| {
    let table = Table::new(
        [(IpAddr::V4(VIP), vec![7]), (IpAddr::V6(VIP6), vec![7])],
        vec![OURS],
    );
    let lan = Lan { index: 7, mac: OURS };
    for handled in [table.arp(frame, lan), table.ndp(frame, lan)] {
        let Ok(answer) = handled.answer else { continue };
        match answer.frame {
            AnswerFrame::Arp(frame) => {
                let reply = ArpFrame::parse(&frame).expect("what is sent is well-formed");
                assert_eq!((reply.sender, reply.sender_mac), (VIP, OURS));
                assert!(!reply.destination.is_group());
            }
            AnswerFrame::Ndp(frame) => {
                let reply = NdpFrame::parse(&frame).expect("what is sent is well-formed");
                assert_eq!((reply.target, reply.link_layer), (VIP6, Some(OURS)));
            }
        }
    }
});
