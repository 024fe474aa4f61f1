//! Documents become objects or findings, each for itself.

use super::*;
use crate::codes;
use crate::finding::Level;
use crate::source::yaml::Limits;

fn read(text: &str) -> DecodedFile {
    decode_text(&"dir/a.yaml".into(), text, &Limits::default())
}

fn names(file: &DecodedFile) -> Vec<String> {
    let objects = file.objects.iter();
    objects
        .map(|object| object.reference().to_string())
        .collect()
}

fn only_finding(text: &str) -> Finding {
    let file = read(text);
    assert_eq!(file.objects, [], "{text}");
    assert_eq!(file.findings.len(), 1, "{:?}", file.findings);
    file.findings.into_iter().next().expect("one")
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata:\n  name: kiali\n  namespace: \
                       istio-system\nspec:\n  type: LoadBalancer\n  ports:\n  - port: 20001\n";

#[test]
fn every_kind_is_read_in_every_version() {
    for kind in Kind::ALL {
        for version in kind.versions() {
            let group = match kind.group() {
                "" => String::new(),
                group => format!("{group}/"),
            };
            let extra = match kind {
                Kind::EndpointSlice => "addressType: IPv4\nendpoints: []\n",
                _ => "",
            };
            let text = format!(
                "apiVersion: {group}{version}\nkind: {}\nmetadata: {{name: a}}\n{extra}",
                kind.name()
            );
            let file = read(&text);
            assert_eq!(file.findings, [], "{text}");
            let expected = match kind.namespaced() {
                true => format!("{} default/a", kind.name()),
                false => format!("{} a", kind.name()),
            };
            assert_eq!(names(&file), [expected]);
        }
    }
}

#[test]
fn metadata_and_origin_are_kept() {
    let text = format!(
        "# first\n{SERVICE}---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: \
         Namespace\n  metadata:\n    name: bookinfo\n    labels: {{a: b}}\n    creationTimestamp: \
         2026-01-02T03:04:05Z\n    managedFields: [{{manager: kubectl}}]\n"
    );
    let file = read(&text);
    assert_eq!(file.findings, []);
    assert_eq!(
        names(&file),
        ["Service istio-system/kiali", "Namespace bookinfo"]
    );
    let AnyObject::Namespace(namespace) = &file.objects[1] else {
        panic!("a namespace");
    };
    assert_eq!(namespace.meta.labels[&"a".to_owned()], "b");
    assert_eq!(namespace.meta.created, Some(1_767_323_045));
    assert_eq!(namespace.body.metadata.managed_fields, None);
    let crate::Origin::File {
        path,
        line,
        document,
        item,
        rules,
    } = &namespace.origin
    else {
        panic!("a file");
    };
    assert_eq!(
        (&**path, *line, *document, *item, &**rules),
        ("dir/a.yaml", 15, 1, Some(0), &[][..])
    );
}

#[test]
fn a_wrong_type_refuses_its_object_only() {
    let text = format!(
        "{SERVICE}---\n{}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: ns}}\n",
        SERVICE.replace("20001", "web").replace("kiali", "other")
    );
    let file = read(&text);
    assert_eq!(names(&file), ["Service istio-system/kiali", "Namespace ns"]);
    assert_eq!(file.failed.len(), 1);
    assert!(!file.unreadable);
    let finding = &file.findings[0];
    assert_eq!(
        finding.to_string(),
        "error IST0106 dir/a.yaml:19:11 Service istio-system/other spec.ports[0].port: wrong type: \
         expected a whole number, found the text \"web\"; this version of the object is not used"
    );
}

#[test]
fn times_and_bytes_are_told_in_words_for_people() {
    let finding = only_finding(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a, namespace: b, creationTimestamp: yesterday}\nspec: {}\n",
    );
    assert_eq!(finding.field, "metadata.creationTimestamp");
    assert!(
        finding.message.starts_with("that is not a time;"),
        "{finding:?}"
    );
    assert!(finding.hint.contains("2026-01-31T12:00:00Z"), "{finding:?}");
    let finding = only_finding(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a, namespace: b}\nspec: {http: [{directResponse: {status: 200, body: {bytes: \"hello!\"}}}]}\n",
    );
    assert!(
        finding.message.starts_with(
            "`hello!` is not base64, in which bytes are written (plain text goes into `string`)"
        ),
        "{finding:?}"
    );
}

#[test]
fn an_unknown_field_is_named_with_the_nearest() {
    let file = read(&SERVICE.replace("type:", "tpye:"));
    assert_eq!(names(&file), ["Service istio-system/kiali"]);
    assert_eq!(
        file.findings[0].to_string(),
        "warning GH0001 dir/a.yaml:7:3 Service istio-system/kiali spec.tpye: unknown field `tpye`; \
         it has no effect Did you mean `type`?"
    );
    let file = read(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: a}\nspce: {}\n",
    );
    assert_eq!(file.findings[0].hint, "Did you mean `spec`?");
}

#[test]
fn of_kinds_that_do_nothing_here_a_part_is_read() {
    let file = read(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: a}}\nspec:\n  nodeName: node\n  \
         containers: [{name: c, image: i, ports: [{containerPort: 80}]}]\n---\napiVersion: \
         gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: a}\nspec: {listeners: \
         [{hostname: a.lan, port: 80}]}\nstatus: {conditions: [{type: Accepted, status: \
         \"False\"}]}\n---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: \
         a}\n",
    );
    assert_eq!(file.findings, []);
    assert_eq!(file.not_used.len(), 2);
    let [
        AnyObject::Pod(pod),
        AnyObject::KubernetesGateway(gateway),
        AnyObject::Gateway(_),
    ] = file.objects.as_slice()
    else {
        panic!("{:?}", file.objects);
    };
    assert_eq!(
        (
            pod.meta.labels[&"app".to_owned()].as_str(),
            pod.body.node_name.as_str()
        ),
        ("a", "node")
    );
    let hostname = gateway.body.listeners[0].hostname.as_deref();
    assert_eq!(hostname, Some("a.lan"));
    let status = gateway.meta.status.as_ref().expect("a status");
    assert_eq!(status.conditions[0].about, "Accepted");
}

#[test]
fn a_key_written_twice_refuses_its_object() {
    let file = read(&format!("{SERVICE}  type: ClusterIP\n"));
    assert!(file.objects.is_empty());
    assert_eq!(file.failed.len(), 1);
    let finding = &file.findings[0];
    assert_eq!(
        (finding.code, finding.field.as_str()),
        (codes::DUPLICATE_KEY, "spec.type")
    );
    assert_eq!(finding.position.as_ref().map(|p| p.line), Some(10));
    assert!(finding.message.contains("first in line 7"), "{finding}");

    // In a List: that item only.
    let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: \
                {name: a}}\n- {apiVersion: v1, kind: Namespace, kind: Node, metadata: {name: b}}\n";
    let file = read(text);
    assert_eq!(names(&file), ["Namespace a"]);
    assert_eq!(file.findings[0].field, "kind");
}

#[test]
fn slips_in_the_header_are_told() {
    for (text, code, hint) in [
        ("a: 1\n", codes::UNKNOWN_VERSION, "kind: Service"),
        (
            "kind: VirtualService\nmetadata: {name: a}\n",
            codes::UNKNOWN_VERSION,
            "`apiVersion: networking.istio.io/v1`",
        ),
        (
            "apiVersion: networking.istio.io/v2\nkind: Gateway\nmetadata: {name: a}\n",
            codes::UNKNOWN_VERSION,
            "Did you mean `networking.istio.io/v1`?",
        ),
        (
            "apiVersion: networking.isto.io/v1\nkind: Gateway\nmetadata: {name: a}\n",
            codes::UNKNOWN_VERSION,
            "Did you mean `networking.istio.io/v1`?",
        ),
        (
            "apiVersion: v1\nkind: VirtualService\nmetadata: {name: a}\n",
            codes::UNKNOWN_VERSION,
            "Did you mean `networking.istio.io/v1`?",
        ),
        (
            "apiVersion: v1\nkind: Servce\nmetadata: {name: a}\n",
            codes::UNKNOWN_VERSION,
            "Did you mean `Service`?",
        ),
        ("apiVersion: v1\nkind: Service\n", codes::NAME_MISSING, ""),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {}\n",
            codes::NAME_MISSING,
            "",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: 12}\n",
            codes::NAME_MISSING,
            "",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a_b}\n",
            codes::NAME_MISSING,
            "",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {generateName: a-}\n",
            codes::NAME_MISSING,
            "",
        ),
        ("- 1\n- 2\n", codes::SCHEMA, ""),
        ("text\n", codes::SCHEMA, ""),
    ] {
        let finding = only_finding(text);
        assert_eq!(finding.code, code, "{text}: {finding}");
        assert_eq!(finding.level, Level::Error);
        assert!(finding.hint.contains(hint), "{text}: {finding}");
        assert!(read(text).unreadable);
    }
}

#[test]
fn other_kinds_are_left_alone() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\napiVersion: \
                v1\nkind: ServiceAccount\nmetadata: {name: a}\n---\napiVersion: \
                serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n---\napiVersion: \
                metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: a}\n";
    let file = read(text);
    // Known as a workload, and nothing else.
    assert_eq!(names(&file), ["Deployment default/a"]);
    assert!(file.findings.is_empty() && !file.unreadable);
    let kinds: Vec<_> = file
        .not_used
        .iter()
        .map(|n| n.finding(2).to_string())
        .collect();
    assert_eq!(
        kinds[0],
        "info GH0004 dir/a.yaml:1:1: Deployment (apps) is not used: gatehouse runs no workloads; 2 \
         objects of this kind are left alone What it runs is reached through an EndpointSlice, \
         Endpoints or ServiceEntry."
    );
    assert_eq!(kinds.len(), 4);
    assert!(kinds[3].starts_with("warning"), "{}", kinds[3]);
}

#[test]
fn a_policy_that_cannot_be_read_still_guards_what_it_is_for() {
    let text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: \
                deny, namespace: shop}\nspec: {selector: {matchLabels: {app: a}}, action: DNEY}\n";
    let file = read(text);
    assert_eq!(file.findings.len(), 1);
    assert_eq!(file.findings[0].code, codes::SCHEMA);
    let Some(AnyObject::AuthorizationPolicy(policy)) = file.objects.first() else {
        panic!("the policy is gone: {file:?}");
    };
    let selector = policy.body.selector.as_ref().expect("the selector");
    assert_eq!(
        selector.match_labels.get("app").map(String::as_str),
        Some("a")
    );
    assert_eq!(policy.body.rules, [], "the strictest there is");
}

#[test]
fn a_mesh_file_needs_no_envelope() {
    let bare = "kind: MeshConfig\naccessLogFile: /dev/stdout\nrootNamespace: mesh\n";
    let full = "apiVersion: mesh.istio.io/v1alpha1\nkind: MeshConfig\nmetadata: {name: mesh}\n\
                spec: {accessLogFile: /dev/stdout, root_namespace: mesh}\n";
    for text in [bare, full] {
        let file = read(text);
        assert_eq!(file.findings, []);
        let Some(AnyObject::MeshConfig(mesh)) = file.objects.first() else {
            panic!("no MeshConfig in {text}");
        };
        assert_eq!(mesh.meta.key.to_string(), "mesh");
        assert_eq!(mesh.body.access_log_file, "/dev/stdout");
        assert_eq!(mesh.body.root_namespace, "mesh");
    }
    let file = read("kind: MeshConfig\naccesLogFile: /dev/stdout\n");
    let typo = &file.findings[0];
    assert_eq!(
        (typo.code, typo.field.as_str()),
        (codes::UNKNOWN_FIELD, "accesLogFile")
    );
    assert!(typo.hint.contains("accessLogFile"), "{typo}");
}

#[test]
fn mutations_of_good_files_never_panic() {
    let long = std::env::var_os("GATEHOUSE_LONG_TESTS").is_some_and(|value| value == "1");
    // The same inputs on every machine, as far as a minute reaches.
    let rounds = if long { 300_000 } else { 1_000 };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let seeds = [
        format!("{SERVICE}---\n{SERVICE}"),
        "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"kind\": \"Node\"}]}"
            .to_owned(),
        "a: &x [1, *y]\nb: {<<: *x, c: |-\n  text\n  more\n}\n? k\n: v\n--- >\n folded\n%TAG ! a\n"
            .to_owned(),
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  \
         hosts: ['*']\n  http:\n  - match: [{uri: {exact: /a}}]\n    route: [{destination: {host: \
         b}}]\n"
            .to_owned(),
    ];
    const PIECES: &[&str] = &[
        "\t", "\n", "---\n", "...\n", "- ", ": ", "? ", "{", "}", "[", "]", ",", "&a ", "*a", "|",
        ">", "\"", "'", "\\", "!!", "!<", "%", "#", "\u{feff}", "\u{0}", "\u{85}", "\u{2028}", "é",
        "😀", "<<: ", "\r", "null", "~", "0x", "1e999", "  ", "@", "`", "\\u", "\\x", "\\ud800",
        "kind: ",
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..rounds {
        if long && std::time::Instant::now() >= end {
            break;
        }
        let seed = &seeds[random.below(seeds.len())];
        let mut text: Vec<char> = seed.chars().collect();
        for _ in 0..=random.below(8) {
            let at = random.below(text.len() + 1);
            let end = (at + random.below(12)).min(text.len());
            match random.below(4) {
                0 => drop(text.drain(at..end)),
                1 => {
                    let copy: Vec<char> = text[at..end].to_vec();
                    let to = random.below(text.len() + 1);
                    text.splice(to..to, copy);
                }
                2 => text.truncate(at.max(1)),
                _ => {
                    let piece = PIECES[random.below(PIECES.len())];
                    text.splice(at..at, piece.chars());
                }
            }
        }
        let text: String = text.into_iter().collect();
        let file = read(&text);
        for finding in &file.findings {
            assert!(
                !finding.message.contains("the YAML reader failed"),
                "round {round}: the scanner panicked on {text:?}"
            );
        }
    }
}

#[test]
fn what_istio_keeps_for_itself_is_refused() {
    let object = |annotation: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: a\n  \
             annotations:\n    {annotation}: gateway\nspec: {{hosts: [a.example]}}\n"
        )
    };
    let file = read(&object("internal.istio.io/route-semantics"));
    assert!(file.objects.is_empty());
    let finding = &file.findings[0];
    assert_eq!(
        (finding.code, finding.position.as_ref().map(|p| p.line)),
        (codes::SCHEMA, Some(6))
    );
    assert_eq!(read(&object("example.com/mine")).objects.len(), 1);
}

/// xorshift64*: the same sequence on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(value).expect("31 bits") % limit
    }
}
