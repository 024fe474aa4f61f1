//! Interfaces and neighbours: conflicts, cables, MAC addresses, which interface answers, IPv6.

use gatehouse_e2e::{DEADLINE, eventually};

use crate::setup::{INGRESS, Story, listen_for_arp};

#[test]
fn an_address_that_another_machine_uses_is_not_announced() {
    let Some(mut story) = Story::new() else {
        return;
    };
    let squatter = story.lan.node("squatter", 151);
    let gatehouse = story.start();
    story.wait_for_address(&gatehouse, "istio-ingressgateway", INGRESS);
    // RFC 5227 §2.1.1: the probe was answered; the finding names who.
    let mac = squatter.mac();
    eventually("the conflict is reported", DEADLINE, || {
        let rows = gatehouse.rows("addresses");
        let row = rows.iter().find(|row| row["address"] == INGRESS)?;
        row.to_string()
            .to_ascii_lowercase()
            .contains(&mac)
            .then_some(())
    });
    assert_eq!(story.arping(INGRESS, 2), [mac.as_str(), &mac]);
}

#[test]
fn a_cable_that_comes_back_is_announced_on_again() {
    let Some(story) = Story::new() else { return };
    let gatehouse = story.start();
    story.wait_for_page(&gatehouse);
    story.lan.cable(&story.node, false);
    eventually("nobody answers", DEADLINE, || {
        story.arping(INGRESS, 1).is_empty().then_some(())
    });
    let mut tcpdump = listen_for_arp(&story.client);
    story.lan.cable(&story.node, true);
    tcpdump.wait_for_line(
        &format!("Reply {INGRESS} is-at {}", story.node.mac()),
        DEADLINE,
    );
    story.wait_for_client();
}

#[test]
fn an_interface_that_is_not_advertised_stays_silent() {
    let Some(story) = Story::new() else { return };
    let pool = include_str!("pool.yaml").to_owned() + "  interfaces: [eth9]\n";
    story.config.write("pool.yaml", &pool);
    let gatehouse = story.start();
    story.wait_for_address(&gatehouse, "istio-ingressgateway", INGRESS);
    assert!(
        story.arping(INGRESS, 2).is_empty(),
        "eth0 is not among the interfaces"
    );
    // Edited in: answered.
    story
        .config
        .write("pool.yaml", &pool.replace("eth9", "eth0"));
    eventually("eth0 answers", DEADLINE, || {
        (!story.arping(INGRESS, 1).is_empty()).then_some(())
    });
}

#[test]
fn a_changed_mac_address_is_answered_with() {
    let Some(story) = Story::new() else { return };
    let gatehouse = story.start();
    story.wait_for_address(&gatehouse, "istio-ingressgateway", INGRESS);
    let mut tcpdump = listen_for_arp(&story.client);
    let mac = "02:00:00:00:08:0b";
    story
        .node
        .sh(&format!("ip link set eth0 address {mac}"))
        .ok();
    // Told to the neighbours at once, not when their caches expire.
    tcpdump.wait_for_line(&format!("Reply {INGRESS} is-at {mac}"), DEADLINE);
    assert_eq!(story.arping(INGRESS, 2), [mac, mac]);
    eventually("the page opens", DEADLINE, || {
        let page = story.curl("http://192.168.8.151/productpage");
        page.status.success().then_some(())
    });
}

#[test]
fn an_interface_that_appears_later_answers_too() {
    let Some(story) = Story::new() else {
        return;
    };
    // The node's cable is pulled out altogether; it starts with no interface but lo.
    story.lan.unplug(&story.node);
    let gatehouse = story.start();
    story.wait_for_address(&gatehouse, "istio-ingressgateway", INGRESS);
    assert!(story.arping(INGRESS, 1).is_empty());
    story.lan.plug(&story.node);
    eventually("the new eth0 answers", DEADLINE, || {
        (story.arping(INGRESS, 1) == [story.node.mac()]).then_some(())
    });
    eventually("the page opens", DEADLINE, || {
        let page = story.curl("http://192.168.8.151/productpage");
        page.status.success().then_some(())
    });
    assert!(gatehouse.terminate().success());
    assert!(story.arping(INGRESS, 1).is_empty());
}

#[test]
fn an_ipv6_address_is_found_by_neighbour_discovery() {
    let Some(story) = Story::new() else { return };
    let pool = include_str!("pool.yaml");
    story.config.write(
        "pool.yaml",
        &pool.replace("192.168.8.198]", "192.168.8.198, 'fd00:8::151/128']"),
    );
    story.config.edit(
        "services.yaml",
        "spec:\n  type: LoadBalancer\n  selector: {app: istio-ingressgateway",
        "spec:\n  type: LoadBalancer\n  ipFamilyPolicy: RequireDualStack\n  \
         ipFamilies: [IPv4, IPv6]\n  selector: {app: istio-ingressgateway",
    );
    let gatehouse = story.start();
    story.wait_for_address(&gatehouse, "istio-ingressgateway", INGRESS);
    let row = gatehouse
        .service("istio-ingressgateway")
        .expect("it was there");
    assert_eq!(
        row["external_ip"].to_string(),
        r#"["192.168.8.151","fd00:8::151"]"#
    );
    let page = eventually("the page opens over IPv6", DEADLINE, || {
        let page = story.curl("http://[fd00:8::151]/productpage");
        page.status.success().then_some(page.stdout)
    });
    assert!(
        page.contains(r#"["x-forwarded-for","fd00:8::64"]"#),
        "{page}"
    );
    story
        .client
        .exec(["ping", "-c", "1", "-W", "5", "fd00:8::151"])
        .ok();
    let neighbour = story.client.sh("ip -6 neigh show fd00:8::151").ok();
    assert!(neighbour.contains(&story.node.mac()), "{neighbour}");
    assert!(gatehouse.terminate().success());
    story.client.sh("ip -6 neigh flush all").ok();
    assert!(
        !story
            .client
            .exec(["ping", "-c", "1", "-W", "1", "fd00:8::151"])
            .status
            .success()
    );
}
