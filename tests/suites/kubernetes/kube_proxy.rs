//! The rules of kube-proxy 1.30 and later, in nftables and in iptables, as it writes them for
//! Services of type LoadBalancer: from the objects of the API server, `ipMode` included.

use std::fmt::Write as _;

use gatehouse_e2e::{DEADLINE, Node, eventually};
use serde_json::Value;

use crate::setup::Setup;

/// Which of its modes kube-proxy runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nftables,
    Iptables,
}

/// A port of a Service at an address of its status, and who serves it.
struct Carried {
    /// `namespace/name:port`
    name: String,
    address: String,
    port: u64,
    endpoint: String,
}

/// What kube-proxy would carry. It reads `ipMode` since 1.29; `reads_mode` is false for one that
/// is older, or for a status without it, as MetalLB's.
fn carried(setup: &Setup, reads_mode: bool) -> Vec<Carried> {
    let list = |kind: &str| -> Vec<Value> {
        let text = setup
            .server
            .kubectl(&["get", kind, "-A", "-o", "json"])
            .ok();
        let all: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        all["items"].as_array().expect("a list").clone()
    };
    let slices = list("endpointslices");
    let mut all = Vec::new();
    for service in list("services") {
        let meta = &service["metadata"];
        let endpoint = slices.iter().find_map(|slice| {
            let of = &slice["metadata"]["labels"]["kubernetes.io/service-name"];
            let same = *of == meta["name"] && slice["metadata"]["namespace"] == meta["namespace"];
            let address = slice["endpoints"][0]["addresses"][0].as_str()?;
            same.then(|| format!("{address}:{}", slice["ports"][0]["port"]))
        });
        let name = format!("{}/{}", text(&meta["namespace"]), text(&meta["name"]));
        let ports = service["spec"]["ports"].as_array().expect("ports");
        let ports = || {
            ports
                .iter()
                .map(|port| port["port"].as_u64().expect("a number"))
        };
        if let Some(endpoint) = &endpoint {
            all.extend(ports().map(|port| Carried {
                name: format!("{name} cluster IP"),
                address: text(&service["spec"]["clusterIP"]).to_owned(),
                port,
                endpoint: endpoint.clone(),
            }));
        }
        let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
        for entry in ingress.into_iter().flatten() {
            let leaves_alone = reads_mode && entry["ipMode"] == "Proxy";
            let (Some(endpoint), false) = (&endpoint, leaves_alone) else {
                continue;
            };
            all.extend(ports().map(|port| Carried {
                name: name.clone(),
                address: text(&entry["ip"]).to_owned(),
                port,
                endpoint: endpoint.clone(),
            }));
        }
    }
    all
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `table ip kube-proxy`, whole, as `kube-proxy --proxy-mode nftables` has it.
fn nftables(carried: &[Carried]) -> String {
    let mut elements = String::new();
    let mut chains = String::new();
    for (number, one) in carried.iter().enumerate() {
        let Carried {
            name,
            address,
            port,
            endpoint,
        } = one;
        let _ = writeln!(
            elements,
            "    {address} . tcp . {port} comment \"{name}\" : goto external-{number},"
        );
        let host = endpoint.split(':').next().unwrap_or_default();
        let _ = write!(
            chains,
            "  chain external-{number} {{\n    counter comment \"{name}\"\n    \
             jump mark-for-masquerade\n    goto service-{number}\n  }}\n  \
             chain service-{number} {{\n    numgen random mod 1 vmap {{ 0 : goto endpoint-{number} }}\n  }}\n  \
             chain endpoint-{number} {{\n    ip saddr {host} jump mark-for-masquerade\n    \
             meta l4proto tcp dnat to {endpoint}\n  }}\n"
        );
    }
    let elements = match elements.is_empty() {
        true => String::new(),
        false => format!("    elements = {{\n{elements}    }}\n"),
    };
    format!(
        "table ip kube-proxy\ndelete table ip kube-proxy\n\
         table ip kube-proxy {{\n\
           map service-ips {{\n    type ipv4_addr . inet_proto . inet_service : verdict\n{elements}  }}\n\
           chain mark-for-masquerade {{\n    meta mark set meta mark or 0x4000\n  }}\n\
           chain masquerading {{\n    meta mark and 0x4000 == 0 return\n    \
             meta mark set meta mark xor 0x4000\n    masquerade fully-random\n  }}\n\
         {chains}\
           chain services {{\n    ip daddr . meta l4proto . th dport vmap @service-ips\n  }}\n\
           chain nat-prerouting {{\n    type nat hook prerouting priority dstnat\n    jump services\n  }}\n\
           chain nat-output {{\n    type nat hook output priority -100\n    jump services\n  }}\n\
           chain nat-postrouting {{\n    type nat hook postrouting priority srcnat\n    jump masquerading\n  }}\n\
         }}\n"
    )
}

/// The nat table as `kube-proxy --proxy-mode iptables` has it, for iptables-restore.
fn iptables(carried: &[Carried]) -> String {
    let mut chains = String::new();
    let mut rules = String::new();
    for (number, one) in carried.iter().enumerate() {
        let Carried {
            name,
            address,
            port,
            endpoint,
        } = one;
        let host = endpoint.split(':').next().unwrap_or_default();
        let _ = write!(
            chains,
            ":KUBE-EXT-{number} - [0:0]\n:KUBE-SVC-{number} - [0:0]\n:KUBE-SEP-{number} - [0:0]\n"
        );
        let _ = write!(
            rules,
            "-A KUBE-SERVICES -d {address}/32 -p tcp -m comment --comment \"{name} loadbalancer IP\" \
             -m tcp --dport {port} -j KUBE-EXT-{number}\n\
             -A KUBE-EXT-{number} -j KUBE-MARK-MASQ\n\
             -A KUBE-EXT-{number} -j KUBE-SVC-{number}\n\
             -A KUBE-SVC-{number} -j KUBE-SEP-{number}\n\
             -A KUBE-SEP-{number} -s {host}/32 -j KUBE-MARK-MASQ\n\
             -A KUBE-SEP-{number} -p tcp -m tcp -j DNAT --to-destination {endpoint}\n"
        );
    }
    format!(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
         :KUBE-SERVICES - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n:KUBE-POSTROUTING - [0:0]\n{chains}\
         -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
         -A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
         -A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING\n\
         -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000\n\
         -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n\
         -A KUBE-POSTROUTING -j MARK --xor-mark 0x4000\n\
         -A KUBE-POSTROUTING -j MASQUERADE --random-fully\n{rules}COMMIT\n"
    )
}

/// Puts the rules in force on a node, in the place of those before.
fn write_rules(setup: &Setup, node: &Node, mode: Mode, carried: &[Carried]) {
    let folder = setup.server.folder();
    let (file, text, command) = match mode {
        Mode::Nftables => ("rules.nft", nftables(carried), "nft -f"),
        Mode::Iptables => ("rules.iptables", iptables(carried), "iptables-restore"),
    };
    let path = folder.join(file);
    std::fs::write(&path, &text).expect("a file can be written there");
    let output = node.sh(&format!("{command} {}", path.display()));
    assert!(output.status.success(), "{output:?}\n{text}");
}

/// How many packets the rules have carried for a Service.
fn packets(node: &Node, mode: Mode, name: &str) -> u64 {
    let number = |text: &str| text.trim().parse().unwrap_or(0);
    match mode {
        Mode::Nftables => {
            let text = node.sh("nft list table ip kube-proxy").ok();
            let line = text
                .lines()
                .find(|line| line.contains("counter") && line.contains(&format!("\"{name}\"")));
            let count = line.and_then(|line| line.split("packets ").nth(1)?.split(' ').next());
            count.map_or(0, number)
        }
        Mode::Iptables => {
            let text = node.sh("iptables -t nat -vxnL KUBE-SERVICES").ok();
            let line = text
                .lines()
                .find(|line| line.contains(&format!("/* {name} loadbalancer IP")));
            let count = line.and_then(|line| line.split_whitespace().next());
            count.map_or(0, number)
        }
    }
}

/// The gateway's endpoints, as the controllers of a cluster write them for Pods in the hosts'
/// network. That of the other node is first: kube-proxy takes any, and with the policy Cluster hides
/// the client from all but those of its own node.
const GATEWAY_ENDPOINTS: &str = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
    metadata: {name: gw-1, namespace: istio-system, labels: {kubernetes.io/service-name: istio-ingressgateway}}\n\
    addressType: IPv4\nports: [{name: http2, port: 8089, protocol: TCP}]\n\
    endpoints:\n\
    - {addresses: [192.168.8.12], nodeName: node2, conditions: {ready: true}}\n\
    - {addresses: [192.168.8.11], nodeName: node1, conditions: {ready: true}}\n";

/// Both nodes run the gateway, and the first one announces.
const NODES: &str = "apiVersion: v1\nkind: Node\n\
    metadata: {name: node1, labels: {kubernetes.io/hostname: node1}}\n---\n\
    apiVersion: v1\nkind: Node\n\
    metadata: {name: node2, labels: {kubernetes.io/hostname: node2}}\n---\n\
    apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\n\
    metadata: {name: lan, namespace: metallb-system}\n\
    spec: {nodeSelectors: [{matchLabels: {kubernetes.io/hostname: node1}}]}\n";

#[test]
fn the_real_client_is_seen_with_nftables_rules_in_place() {
    client_is_seen(Mode::Nftables);
}

#[test]
fn the_real_client_is_seen_with_iptables_rules_in_place() {
    client_is_seen(Mode::Iptables);
}

fn client_is_seen(mode: Mode) {
    let Some(setup) = Setup::with(&["nft", "iptables", "iptables-restore"]) else {
        return;
    };
    let server = &setup.server;
    let node = &setup.nodes[0];
    server.install_crds();
    for file in ["addresses", "ingressgateway", "kiali", "bookinfo"] {
        server.apply(&crate::example(&format!("{file}.yaml")));
    }
    server.apply(NODES);
    server.apply(GATEWAY_ENDPOINTS);
    node.sh("echo 1 > /proc/sys/net/ipv4/ip_forward").ok();
    let _gatehouses = [setup.start(node), setup.start(&setup.nodes[1])];
    setup.wait_for_address("istio-ingressgateway", "istio-system", "192.168.8.151");
    setup.wait_for_address("kiali", "istio-system", "192.168.8.152");
    let page = "http://192.168.8.151/productpage";
    let kiali = "http://192.168.8.152:20001/kiali";
    setup.wait_for_page(page, "192.168.8.100");

    // kube-proxy, which reads ipMode: the gateway's address is left alone, kiali's is carried.
    let rules = carried(&setup, true);
    let names = rules.iter().map(|one| one.name.as_str());
    let names: Vec<_> = names.filter(|name| !name.ends_with("cluster IP")).collect();
    assert_eq!(names, ["istio-system/kiali"]);
    write_rules(&setup, node, mode, &rules);
    setup.wait_for_page(page, r#""path":"/productpage""#);
    setup.wait_for_page(page, "192.168.8.100");
    assert_eq!(packets(node, mode, "istio-system/istio-ingressgateway"), 0);
    let before = packets(node, mode, "istio-system/kiali");
    setup.wait_for_page(kiali, r#""path":"/kiali""#);
    assert!(
        packets(node, mode, "istio-system/kiali") > before,
        "kube-proxy's rules carry what is not the gateway's"
    );

    // Inside the cluster the gateway is reached by its ClusterIP, at the port of an endpoint: at
    // that of another node here, and at our own.
    let inside = rules
        .iter()
        .find(|one| one.name == "istio-system/istio-ingressgateway cluster IP");
    let inside = format!(
        "http://{}/productpage",
        inside.expect("it has endpoints").address
    );
    for url in [&*inside, "http://192.168.8.11:8089/productpage"] {
        let page = node.exec(["curl", "-sS", "--max-time", "5", url]).ok();
        assert!(page.contains(r#""path":"/productpage""#), "{url}: {page}");
    }

    // The same where the status said VIP, or nothing: the rules take the connection, and with the
    // policy Cluster the gateway sees the node in the place of the client. So the rules do bite.
    write_rules(&setup, node, mode, &carried(&setup, false));
    eventually("the client is hidden behind the node", DEADLINE, || {
        let output = setup.client.exec(["curl", "-sS", "--max-time", "2", page]);
        (output.stdout.contains(r#""path":"/productpage""#)
            && !output.stdout.contains("192.168.8.100"))
        .then_some(())
    });
    assert!(packets(node, mode, "istio-system/istio-ingressgateway") > 0);

    // And back, as kube-proxy does when it reads the status again.
    write_rules(&setup, node, mode, &carried(&setup, true));
    setup.wait_for_page(page, "192.168.8.100");
}
