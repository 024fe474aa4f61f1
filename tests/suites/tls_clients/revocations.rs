//! Lists of revoked certificates that have expired: nobody gets in with a certificate of their CA,
//! as with OpenSSL and Envoy, until there is a new list.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use gatehouse_e2e::{
    Certificates, DEADLINE, Need, Secured, eventually, loopback_address, satisfied,
};

use crate::{ISSUE, both};

const NEEDS: &[Need] = &[Need::Program("openssl"), Need::Program("curl")];

/// A CA with a server, a client and one more client, and its record of revoked certificates.
const CA: &str = r#"
ca ca "test CA"
server server
leaf phone ca DNS:phone.lan clientAuth phone
leaf lost ca DNS:lost.lan clientAuth lost
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n' > conf
: > index; echo 01 > number
"#;

/// `list FILE FROM UNTIL`: a list that counts between these moments.
const LIST: &str = r#"
own="-config conf -keyfile ca.key -cert ca.crt"
list() {
  openssl ca $own -gencrl -crl_lastupdate $2 -crl_nextupdate $3 -out $1.new && mv $1.new $1
}
now() { date -u -d "now $1" +%Y%m%d%H%M%SZ; }
fresh() { list $1 $(now "-1 hour") $(now "+30 days"); }
expired() { list $1 20240101000000Z 20240201000000Z; }
"#;

/// One server has everything in files, the other one in a Secret.
const CONFIG: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 8443, name: files, protocol: HTTPS}
    hosts: [mutual.lan]
    tls: {mode: MUTUAL, serverCertificate: "@CERTS@/server.crt", privateKey: "@CERTS@/server.key", caCertificates: "@CERTS@/ca.crt", caCrl: "@CERTS@/ca.crl"}
  - port: {number: 8443, name: secret, protocol: HTTPS}
    hosts: [web.lan]
    tls: {mode: OPTIONAL_MUTUAL, credentialName: web}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes, namespace: default}
spec:
  hosts: ["*"]
  gateways: [istio-system/gw]
  http:
  - directResponse: {status: 200, body: {string: welcome}}
"#;

struct Served(Secured);

impl Served {
    /// With a list that `line` makes.
    fn start(line: &str) -> Self {
        let certificates = Certificates::made_by(&format!("{ISSUE}{CA}{LIST}{line} ca.crl"));
        let secret = secret(&certificates);
        let files = [("tls.yaml", CONFIG), ("secret.yaml", &secret)];
        let own = loopback_address();
        Self(Secured::start(
            certificates,
            own,
            &files,
            &[],
            &["--workers", "2"],
        ))
    }

    /// Runs lines of bash where the certificates are, and puts what they made into the Secret too.
    fn renew(&self, lines: &str) {
        let Self(gateway) = self;
        gateway
            .certificates
            .run(&format!("{ISSUE}{LIST}{lines}"), &[]);
        gateway
            .config
            .write("secret.yaml", &secret(&gateway.certificates));
    }

    /// What curl says that shows the certificate of `client`, or none.
    fn ask(&self, name: &str, client: Option<&str>) -> String {
        let Self(gateway) = self;
        let file = |name: &str| gateway.certificates.file(name);
        let mut command = Command::new("curl");
        command
            .args(["-sSv", "--max-time", "10", "--cacert", &file("ca.crt")])
            .args(["--resolve", &format!("{name}:8443:{}", gateway.own)]);
        if let Some(client) = client {
            command.args(["--cert", &file(&format!("{client}.crt"))]);
            command.args(["--key", &file(&format!("{client}.key"))]);
        }
        let output = command.arg(format!("https://{name}:8443/")).output();
        both(&output.expect("curl runs"))
    }

    fn lets_in(&self, name: &str, client: &str) -> bool {
        self.ask(name, Some(client)).contains("welcome")
    }

    fn until(&self, name: &str, client: &str, is_let_in: bool) {
        let what = format!("{client} is let in at {name}: {is_let_in}");
        eventually(&what, DEADLINE, || {
            (self.lets_in(name, client) == is_let_in).then_some(())
        });
    }

    /// What is said of lists of revoked certificates.
    fn findings(&self) -> Vec<String> {
        let Self(gateway) = self;
        let findings = gateway.gatehouse.api("/api/v1/findings").json();
        let findings = findings.as_array().expect("a list").iter();
        let texts = findings.map(ToString::to_string);
        texts
            .filter(|text| text.contains("list of revoked"))
            .collect()
    }

    fn until_found(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} findings"), DEADLINE, || {
            Some(self.findings()).filter(|found| found.len() == count)
        })
    }
}

fn secret(certificates: &Certificates) -> String {
    let mut text = String::from(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: web, namespace: istio-system}\nstringData:\n",
    );
    for (key, file) in [
        ("tls.crt", "server.crt"),
        ("tls.key", "server.key"),
        ("ca.crt", "ca.crt"),
        ("ca.crl", "ca.crl"),
    ] {
        let pem = fs::read_to_string(certificates.file(file)).expect("it was made");
        text += &format!(
            "  {key}: |\n    {}\n",
            pem.trim_end().replace('\n', "\n    ")
        );
    }
    text
}

const SERVERS: [&str; 2] = ["mutual.lan", "web.lan"];

#[test]
fn an_expired_list_lets_nobody_in_and_a_new_one_does() {
    if !satisfied(NEEDS) {
        return;
    }
    let served = Served::start("expired");
    for name in SERVERS {
        let said = served.ask(name, Some("phone"));
        assert!(
            said.contains("alert") && !said.contains("welcome"),
            "{said}"
        );
    }
    // Who needs no certificate is not concerned.
    let said = served.ask("web.lan", None);
    assert!(said.contains("welcome"), "{said}");
    for found in served.until_found(2) {
        assert!(
            found.contains("GH0123") && found.contains("`CN=test CA` expired on 2024-02-01"),
            "{found}"
        );
    }

    // The Secret brings a new certificate along with a list that has expired as well: nothing that
    // was there before is better, so that it is served.
    served.renew("server renewed; expired ca.crl");
    eventually("the new certificate", DEADLINE, || {
        let said = served.ask("web.lan", None);
        said.contains("CN=renewed").then_some(())
    });

    served.renew("fresh ca.crl");
    for name in SERVERS {
        served.until(name, "phone", true);
        served.until(name, "lost", true);
    }
    served.until_found(0);
    served.renew("openssl ca $own -revoke lost.crt; fresh ca.crl");
    for name in SERVERS {
        served.until(name, "lost", false);
        assert!(served.lets_in(name, "phone"), "{name}");
    }
}

#[test]
fn an_expired_list_does_not_replace_one_in_force() {
    if !satisfied(NEEDS) {
        return;
    }
    let served = Served::start("openssl ca $own -revoke lost.crt; fresh");
    let by_the_first_list = || {
        for name in SERVERS {
            assert!(served.lets_in(name, "phone"), "{name}");
            assert!(!served.lets_in(name, "lost"), "{name}");
        }
    };
    by_the_first_list();
    served.renew("expired ca.crl");
    for found in served.until_found(2) {
        assert!(
            found.contains("a version from before stays in force"),
            "{found}"
        );
    }
    by_the_first_list();
    served.renew("fresh ca.crl");
    served.until_found(0);
    by_the_first_list();
}

/// Nobody writes anything when the moment comes.
#[test]
fn a_list_that_expires_lets_nobody_in_from_then_on() {
    if !satisfied(NEEDS) {
        return;
    }
    const SECONDS: u64 = 10;
    let made = Instant::now();
    let line = format!("list ca.crl $(now '-1 hour') $(now '+{SECONDS} seconds'); true");
    let served = Served::start(&line);
    for name in SERVERS {
        let is_let_in = served.lets_in(name, "phone");
        if made.elapsed() < Duration::from_secs(SECONDS - 1) {
            assert!(is_let_in, "{name}");
        }
    }
    for name in SERVERS {
        served.until(name, "phone", false);
    }
    let found = eventually("two findings", DEADLINE, || {
        let found = served.findings();
        let expired = found.iter().filter(|found| found.contains("expired on"));
        (expired.count() == 2).then_some(found)
    });
    assert_eq!(found.len(), 2, "{found:#?}");
    served.renew("fresh ca.crl");
    for name in SERVERS {
        served.until(name, "phone", true);
    }
}
