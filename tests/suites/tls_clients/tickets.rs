//! Sessions taken up again with a ticket, while the configuration changes.
//!
//! The keys of tickets are changed by the TLS library, every six hours, which no test waits for.

use std::fs;

use gatehouse_e2e::{DEADLINE, Need, eventually, satisfied};

use crate::{ISSUE, Served};

const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

/// So many connections that they all fall to one of two workers once in two thousand runs.
const CONNECTIONS: usize = 12;

impl Served {
    /// What openssl says that comes to `name` with the ticket in a file.
    fn returning(&self, name: &str, flag: &str, ticket: &str, arguments: &[&str]) -> String {
        let ticket = self.file(ticket);
        self.openssl(name, &[&[flag, "-sess_in", &ticket], arguments].concat())
    }

    /// The arguments that show a certificate.
    fn showing(&self, name: &str) -> [String; 4] {
        let file = |kind: &str| self.file(&format!("{name}.{kind}"));
        [
            "-cert".to_owned(),
            file("crt"),
            "-key".to_owned(),
            file("key"),
        ]
    }

    /// Whom clients of `mutual.lan` must have their certificate from, from now on.
    fn believe(&self, ca: &str) {
        let new = self.file("clients.new");
        fs::copy(self.file(&format!("{ca}.crt")), &new).expect("copied");
        fs::rename(new, self.file("clients.crt")).expect("replaced");
    }

    /// A ticket of `mutual.lan` for who shows `client`'s certificate, in `VERSION.ticket`, which
    /// is as good as the certificate.
    fn tickets_of_client(&self) {
        let client = self.showing("client");
        let client = client.each_ref().map(String::as_str);
        for (flag, version) in VERSIONS {
            let ticket = self.file(&format!("{version}.ticket"));
            let arguments = [&[flag, "-sess_out", &ticket][..], &client].concat();
            let said = self.openssl("mutual.lan", &arguments);
            assert!(said.contains("200 OK"), "{said}");
            let said = self.returning("mutual.lan", flag, &format!("{version}.ticket"), &[]);
            assert!(said.contains(&format!("Reused, {version}")), "{said}");
            assert!(said.contains("200 OK"), "{said}");
        }
    }

    /// Waits until who shows a certificate gets into `mutual.lan`, or no more.
    fn until(&self, name: &str, is_let_in: bool) {
        let shown = self.showing(name);
        let shown = shown.each_ref().map(String::as_str);
        let what = format!("{name} is let in: {is_let_in}");
        eventually(&what, DEADLINE, || {
            let said = self.openssl("mutual.lan", &shown);
            (said.contains("200 OK") == is_let_in).then_some(())
        });
    }
}

fn is_refused(said: &str) {
    let is_let_in = said.contains("Reused") || said.contains("200 OK");
    assert!(said.contains("alert") && !is_let_in, "{said}");
}

#[test]
fn tickets_outlive_a_configuration_and_a_certificate() {
    if !satisfied(&[Need::Program("openssl")]) {
        return;
    }
    let served = Served::start();
    for (flag, version) in VERSIONS {
        let ticket = served.file(version);
        let said = served.openssl("book.lan", &[flag, "-sess_out", &ticket]);
        assert!(said.contains(&format!("New, {version}")), "{said}");
    }
    let all_are_taken = |body: &str| {
        for (flag, version) in VERSIONS {
            for _ in 0..CONNECTIONS {
                let said = served.returning("book.lan", flag, version, &[]);
                assert!(said.contains(&format!("Reused, {version}")), "{said}");
                assert!(said.contains(body), "{said}");
            }
        }
    };
    all_are_taken("hello");
    let (before, after) = ("body: {string: hello}", "body: {string: changed}");
    served.gateway.config.edit("tls.yaml", before, after);
    eventually("the new routes", DEADLINE, || {
        let said = served.openssl("book.lan", &[]);
        said.contains("changed").then_some(())
    });
    all_are_taken("changed");
    let renew = format!("{ISSUE}server renewed");
    served.gateway.certificates.run(&renew, &[]);
    eventually("the new certificate", DEADLINE, || {
        let said = served.openssl("book.lan", &[]);
        said.contains("CN = renewed").then_some(())
    });
    all_are_taken("changed");
}

/// Who was let in by a certificate needs no other one with a ticket: so a ticket must be worth
/// nothing where clients are judged by others since.
#[test]
fn a_ticket_is_no_way_past_new_judges_of_clients() {
    if !satisfied(&[Need::Program("openssl")]) {
        return;
    }
    let served = Served::start();
    served.tickets_of_client();
    let (client, stranger) = (served.showing("client"), served.showing("stranger"));
    let client = client.each_ref().map(String::as_str);
    let stranger = stranger.each_ref().map(String::as_str);

    // Another CA.
    served.believe("other");
    served.until("stranger", true);
    for (flag, version) in VERSIONS {
        let ticket = format!("{version}.ticket");
        let returning = |shown: &[&str]| served.returning("mutual.lan", flag, &ticket, shown);
        for _ in 0..CONNECTIONS {
            is_refused(&returning(&[]));
        }
        is_refused(&returning(&client));
        let said = returning(&stranger);
        assert!(said.contains(&format!("New, {version}")), "{said}");
        assert!(said.contains("200 OK"), "{said}");
    }

    // The former one: what was void stays void.
    served.believe("ca");
    served.until("client", true);
    for (flag, version) in VERSIONS {
        let ticket = format!("{version}.ticket");
        is_refused(&served.returning("mutual.lan", flag, &ticket, &[]));
    }

    // The same CA, for one client alone.
    served.tickets_of_client();
    let mode = "tls: {mode: MUTUAL, ";
    let narrow = format!("{mode}subjectAltNames: [tablet.lan], ");
    served.gateway.config.edit("tls.yaml", mode, &narrow);
    served.until("client", false);
    for (flag, version) in VERSIONS {
        let ticket = format!("{version}.ticket");
        for shown in [&[][..], &client] {
            is_refused(&served.returning("mutual.lan", flag, &ticket, shown));
        }
    }
}
