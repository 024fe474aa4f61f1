//! Every code that a finding can carry: id, title, and what it means for `check --explain`.
//!
//! One list for the whole crate, so that no code is given twice. `GH00..` belong to sources and
//! status, `GH01..` to translation, `GH02..` to checks over the whole configuration; `IST....` are
//! Istio's own analysis codes with Istio's meaning (istio.io/latest/docs/reference/config/analysis).

/// What a code stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The id, as findings print it.
    pub id: &'static str,
    /// A few words.
    pub title: &'static str,
    /// One or two sentences: what happened and what to do.
    pub explanation: &'static str,
}

impl Code {
    /// Where Istio explains its own code; none for ours.
    pub fn documentation(&self) -> Option<String> {
        let number = self.id.strip_prefix("IST")?;
        Some(format!(
            "https://istio.io/latest/docs/reference/config/analysis/ist{number}/"
        ))
    }
}

/// The code with this id; upper and lower case are the same.
pub fn find(id: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.id.eq_ignore_ascii_case(id))
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $title:literal, $explanation:literal;)*) => {
        $(
            #[doc = concat!("`", $id, "`: ", $title, ".")]
            $(#[$doc])*
            pub const $name: &str = $id;
        )*

        /// All codes, in the order of this file.
        pub const CODES: &[Code] = &[
            $(Code { id: $id, title: $title, explanation: $explanation },)*
        ];
    };
}

codes! {
    // Sources and status.
    SCHEMA = "IST0106", "Schema error",
        "The text is not valid YAML or JSON, or a value has the wrong type for its field. The \
         object keeps its last good version; every other object goes on working.";
    UNKNOWN_FIELD = "GH0001", "Unknown field",
        "Nobody knows a field of this name, so it has no effect. Most often it is misspelt or \
         indented at the wrong depth.";
    DUPLICATE_KEY = "GH0002", "Key written twice",
        "A mapping has the same key twice and which one is meant cannot be told. The object keeps \
         its last good version.";
    DUPLICATE_OBJECT = "GH0003", "Object defined twice",
        "Two documents define an object of the same kind, namespace and name. The one in the file \
         that sorts first is in force; the other is not used.";
    KIND_NOT_USED = "GH0004", "Kind not used",
        "gatehouse has no use for objects of this kind and leaves them alone.";
    NOT_ENFORCED = "GH0005", "Security rules not enforced",
        "Policies of security.istio.io are read and judged, but not enforced by this version of \
         gatehouse. So that nothing is let through that they deny, the hosts that they guard are \
         answered with 503; --ignore-security-policies serves them all the same.";
    UNKNOWN_VERSION = "GH0006", "Unknown or missing apiVersion or kind",
        "The apiVersion and kind together say how an object is read. Without a known pair the \
         document is not used.";
    NAME_MISSING = "GH0007", "Name missing",
        "An object without metadata.name, or with one that is not a valid name, cannot be told \
         from others and is not used.";
    LIMIT = "GH0008", "Limit exceeded",
        "A file or directory is larger, deeper or more repetitive than gatehouse reads. The limits \
         keep a bad file from taking the memory of the machine.";
    UNREADABLE = "GH0009", "File cannot be read",
        "The operating system refused the file or directory, or the file is not text in UTF-8. \
         What was last read from it stays in force.";
    LAST_GOOD = "GH0010", "Last good version in force",
        "What is written now could not be used, so the version before it stays in force until the \
         file is corrected or the object is deleted.";
    STATE = "GH0011", "State file damaged or not writable",
        "The state file remembers which Service has which address. A damaged one is set aside, \
         never overwritten.";
    EMPTY_FILE = "GH0012", "File emptied",
        "A file that had objects is now empty, as it is for a moment while a program writes it. Its \
         objects stay in force; delete the file to remove them.";
    WATCH = "GH0013", "Changes seen late",
        "The kernel's file notification is not available, so the directory is looked through at \
         intervals instead and a change takes longer to be served.";

    // Translation.
    SCHEMA_WARNING = "IST0133", "Schema warning",
        "The object is valid, but something in it is deprecated or has no effect.";
    NOT_SUPPORTED = "GH0101", "Not supported yet",
        "gatehouse knows the field but does not honour it yet. The message says what that means for \
         traffic; an error means that this part of the object is not served at all.";
    NO_EFFECT = "GH0120", "No effect here",
        "The field is read by Istio's sidecars, or by nobody; at an ingress gateway it does nothing, \
         here as with Istio.";
    NO_TCP_ROUTE = "GH0121", "TCP server without a route",
        "A TCP server of a Gateway opens its port only where a VirtualService of that Gateway has a \
         tcp route for it, as with Istio.";
    DNS = "GH0122", "Name cannot be resolved",
        "The name of an endpoint has no address, or DNS does not answer. Addresses that were known \
         before stay in use; without any, requests get 503.";
    UNREACHABLE_RULE = "IST0130", "Rule never used",
        "A rule of a VirtualService can never match, because rules before it take all its requests.";
    INEFFECTIVE_MATCH = "IST0131", "Match never used",
        "A match of a rule can never be reached, because one before it takes all its requests.";
    CONFLICTING_GATEWAYS = "IST0145", "Gateways in conflict",
        "Two servers want the same port for different protocols. The one of the older Gateway (then \
         the first by name) listens, the other does not.";
    EMPTY_SERVICE = "GH0102", "Service without endpoints",
        "The service can have no endpoints, so every request to it is answered with 503.";
    OTHER_CLASS = "GH0103", "Another load balancer's Service",
        "The Service names a loadBalancerClass, so it is left to the load balancer of that class.";
    PORT_NOT_CARRIED = "GH0104", "Port not carried",
        "A port of a Service has a protocol that is not carried, or no valid number, or is written \
         twice. The Service's other ports are served.";
    OLD_ANNOTATION = "GH0105", "Annotation deprecated or not known",
        "MetalLB's annotations begin with metallb.io/; the older prefix metallb.universe.tf/ is \
         honoured but deprecated.";
    ADDRESS_REQUEST = "GH0106", "Wrong request for an address",
        "The address that a Service asks for cannot be read, or it asks in two places, or for two \
         of one family. It keeps what it has and gets nothing new.";
    REFERENCE = "IST0101", "Referenced object not found",
        "A name leads to nothing: a Gateway, host, subset, pool or selector that no object defines.";
    ADDRESS_OBJECT = "GH0107", "Wrong pool or advertisement",
        "An IPAddressPool or L2Advertisement breaks a rule of its API. It keeps its last good \
         version, or is not used; all others are.";

    DELEGATE_CONFLICT = "GH0130", "Rule of a delegate left out",
        "A rule of a delegate asks for requests that the delegating rule does not let through (or \
         one has a regex where the other has a condition), so that it can never be used there.";

    // Checks over the whole configuration.
    MESH_ONLY = "GH0201", "For sidecars only",
        "A VirtualService without `gateways` applies to the mesh's sidecars alone and does nothing \
         at an ingress gateway.";
    NOT_EXPORTED = "GH0202", "Hidden from the gateway",
        "exportTo limits who sees the object, and the gateway's namespace is not among them.";
    NO_POOL = "GH0203", "No pool",
        "Services of type LoadBalancer get their addresses from IPAddressPools, and there is none.";
    NOT_ANNOUNCED = "GH0204", "Pool without advertisement",
        "Addresses of a pool are announced only where an L2Advertisement covers the pool; without \
         one, nothing answers ARP for them.";
    OUTSIDE_POOLS = "GH0205", "Address in no pool",
        "The address that a Service asks for is in no pool, or not in the pool that it asks for.";
    NO_ENDPOINTS = "GH0206", "Nothing behind a Service",
        "A Service of type LoadBalancer has a port without a ready endpoint, so connections to it \
         are closed.";
    PORT_REQUIRED = "IST0112", "Port of the destination needed",
        "The destination has several ports and the route chooses none.";
    HOST_NOT_IN_GATEWAY = "IST0132", "Host not in the Gateway",
        "A VirtualService names a Gateway that serves none of its hosts.";
    SUBSET_WITHOUT_ENDPOINTS = "IST0173", "Subset without endpoints",
        "No endpoint has the labels of a subset, so requests to it are answered with 503.";
    UNKNOWN_RULE_HOST = "IST0174", "DestinationRule for an unknown host",
        "The host of a DestinationRule is defined by no Service and no ServiceEntry.";
    // The daemon: listening and announcing.
    PORT_NOT_ON_SERVICE = "IST0162", "Gateway port not on the Service",
        "No port of the LoadBalancer Service that selects the gateway leads to this port of the \
         Gateway, so that nobody can reach it.";
    LISTENER_PENDING = "GH0301", "Waiting for an address",
        "The Service that leads to this port of the Gateway has no address yet. It listens as soon \
         as the Service gets one.";
    NOT_LISTENING = "GH0302", "Socket cannot be opened",
        "Another program has the port, or the process may not use it. It is tried again every few \
         seconds.";
    NOT_PERMITTED = "GH0401", "Addresses not announced",
        "Answering ARP needs CAP_NET_RAW and CAP_NET_ADMIN. Without them the gateway serves at the \
         host's own addresses only.";
    ADMIN_NOT_LISTENING = "GH0501", "Admin server not listening",
        "One of the servers for the admin API, metrics or health cannot listen; the gateway and its \
         other servers go on.";
    ANNOUNCING = "GH0402", "Announcing addresses",
        "Something stands between an address and the LAN: a conflict, an interface, a fallback.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_given_once() {
        let mut ids: Vec<_> = CODES.iter().map(|code| code.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), CODES.len());
    }

    #[test]
    fn a_code_is_found_in_any_case() {
        assert_eq!(find("ist0106").map(|code| code.title), Some("Schema error"));
        assert_eq!(find("GH9999"), None);
    }
}
