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
    /// One or two sentences: what happened, and what that means for traffic.
    pub explanation: &'static str,
    /// How to mend it.
    pub fix: &'static str,
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
    ($($(#[$doc:meta])* $name:ident = $id:literal, $title:literal, $explanation:literal, $fix:literal;)*) => {
        $(
            #[doc = concat!("`", $id, "`: ", $title, ".")]
            $(#[$doc])*
            pub const $name: &str = $id;
        )*

        /// All codes, in the order of this file.
        pub const CODES: &[Code] = &[
            $(Code { id: $id, title: $title, explanation: $explanation, fix: $fix },)*
        ];
    };
}

codes! {
    // Sources and status.
    SCHEMA = "IST0106", "Schema error",
        "The text is not valid YAML or JSON, or a value has the wrong type for its field. The \
         object keeps its last good version; every other object goes on working.",
        "Correct the value at the line that the finding names; `docs/reference` lists every field \
         and its type.";
    UNKNOWN_FIELD = "GH0001", "Unknown field",
        "Nobody knows a field of this name, so it has no effect. Most often it is misspelt or \
         indented at the wrong depth.",
        "Write the name that the finding suggests, or move the field to where it belongs.";
    DUPLICATE_KEY = "GH0002", "Key written twice",
        "A mapping has the same key twice and which one is meant cannot be told. The object keeps \
         its last good version.",
        "Keep one of the two.";
    DUPLICATE_OBJECT = "GH0003", "Object defined twice",
        "Two documents define an object of the same kind, namespace and name. The one in the file \
         that sorts first is in force; the other is not used.",
        "Remove one of them, or give it another name.";
    KIND_NOT_USED = "GH0004", "Kind not used",
        "gatehouse has no use for objects of this kind and leaves them alone.",
        "Nothing needs to be done; keep such files out of the directory to be rid of the message.";
    NOT_ENFORCED = "GH0005", "Security rules not enforced",
        "Policies of security.istio.io are read and judged, but not enforced by this version of \
         gatehouse. So that nothing is let through that they deny, the hosts that they guard are \
         answered with 503; --ignore-security-policies serves them all the same.",
        "Remove the policy, or start with --ignore-security-policies if the hosts may be open to \
         everybody.";
    UNKNOWN_VERSION = "GH0006", "Unknown or missing apiVersion or kind",
        "The apiVersion and kind together say how an object is read. Without a known pair the \
         document is not used.",
        "Write both as the object's documentation has them, such as `apiVersion: \
         networking.istio.io/v1` with `kind: Gateway`.";
    NAME_MISSING = "GH0007", "Name missing",
        "An object without metadata.name, or with one that is not a valid name, cannot be told \
         from others and is not used. Capital letters are a warning only: an API server refuses them.",
        "Add `metadata: {name: …}` of lower-case letters, digits and hyphens.";
    LIMIT = "GH0008", "Limit exceeded",
        "A file or directory is larger, deeper or more repetitive than gatehouse reads. The limits \
         keep a bad file from taking the memory of the machine.",
        "Split the file, or flatten what it repeats.";
    UNREADABLE = "GH0009", "File cannot be read",
        "The operating system refused the file or directory, or the file is not text in UTF-8. \
         What was last read from it stays in force.",
        "Let the user of the daemon read it (`chmod`, `chown`), and save it as UTF-8.";
    LAST_GOOD = "GH0010", "Last good version in force",
        "What is written now could not be used, so the version before it stays in force until the \
         file is corrected or the object is deleted.",
        "Correct the file; the finding beside this one says where.";
    STATE = "GH0011", "State file damaged or not writable",
        "The state file remembers which Service has which address. A damaged one is set aside, \
         never overwritten.",
        "Let the user of the daemon write to its folder. The damaged file lies beside the new \
         one, for a look.";
    EMPTY_FILE = "GH0012", "File emptied",
        "A file that had objects is now empty, as it is for a moment while a program writes it. Its \
         objects stay in force; delete the file to remove them.",
        "Write its objects again, or delete the file.";
    WATCH = "GH0013", "Changes seen late",
        "Nobody tells of changes, so everything is read again at intervals instead and a change takes \
         longer to be served: the kernel's file notification is not available for the directory, or \
         the API server does not answer or does not let a kind be watched.",
        "For a directory raise fs.inotify.max_user_watches and max_user_instances, or live with the \
         delay. For a cluster give the account of gatehouse what deploy/rbac.yaml lists, and see that \
         the API server can be reached.";
    STATUS_NOT_KEPT = "GH0014", "Status not kept",
        "What gatehouse writes in an object's status does not stay there: the API server leaves a field \
         out (it, or a CustomResourceDefinition, is older than the field), or another program writes \
         the same status, so that a Service's address goes to and fro.",
        "Upgrade what is too old, or let one program alone deal addresses: switch k3s' ServiceLB off \
         (--disable servicelb), uninstall MetalLB's controller, or tell Services apart by \
         spec.loadBalancerClass.";

    // Translation.
    SCHEMA_WARNING = "IST0133", "Schema warning",
        "The object is valid, but something in it is deprecated or has no effect.",
        "Do what the hint says, or leave it: traffic does not change.";
    NOT_SUPPORTED = "GH0101", "Not supported yet",
        "gatehouse knows the field but does not honour it yet. The message says what that means for \
         traffic; an error means that this part of the object is not served at all.",
        "Leave the field out, or do what the hint names in its place.";
    NO_EFFECT = "GH0120", "No effect here",
        "The field is read by Istio's sidecars, or by nobody; at an ingress gateway it does nothing, \
         here as with Istio.",
        "Remove the field; nothing changes for traffic.";
    NO_TCP_ROUTE = "GH0121", "TCP or TLS server without a route",
        "A server of a Gateway for TCP, or for TLS that is not HTTPS, takes connections only where a \
         VirtualService of that Gateway has a route for them, as with Istio: a tls route where TLS is \
         passed through, else a tcp route.",
        "Add the route that the finding names to a VirtualService; until then connections are \
         refused or closed.";
    DNS = "GH0122", "Name cannot be resolved",
        "The name of an endpoint has no address, or DNS does not answer. Addresses that were known \
         before stay in use; without any, requests get 503.",
        "Ask the resolver for the name yourself (`dig NAME`), correct it, or write addresses.";
    CERTIFICATE = "GH0123", "Certificate cannot be used",
        "A certificate, its key, or a list of CAs or revoked certificates cannot be read, or the key \
         is another certificate's. What was there before stays in force; without it, connections to \
         that one server are closed, or requests to that one cluster answer 503, and no others.",
        "Write certificate and key anew, in PEM; they are taken as soon as they are there.";
    CERTIFICATE_EXPIRES = "GH0124", "Certificate expires soon",
        "A sixth of the certificate's time is left, or two weeks. Nothing has happened yet.",
        "Renew it; the new one is taken as soon as it is there, and no connection is closed.";
    CERTIFICATE_CHAIN = "GH0125", "Certificates in the wrong order",
        "A server sends its own certificate first, then that of the CA that issued it, and so on. \
         gatehouse puts them in this order, and leaves out what is not in the chain.",
        "Write them in this order: other servers and clients do not sort them.";
    UNREACHABLE_RULE = "IST0130", "Rule never used",
        "A rule of a VirtualService can never match, because rules before it take all its requests.",
        "Move it before the rule that takes its requests, or remove it.";
    INEFFECTIVE_MATCH = "IST0131", "Match never used",
        "A match of a rule can never be reached, because one before it takes all its requests.",
        "Put the narrower match first, or remove it. The finding names the match that has the \
         requests now.";
    PORT_CONFLICT = "GH0108", "Port or host taken by another server",
        "Two servers want the same port for different protocols, or the same host where only one can \
         have it. The one of the older Gateway (then the first by name) is in force, the other is not.",
        "Give one of them another port, host or bind, or merge them into one Gateway.";
    EMPTY_SERVICE = "GH0102", "Service without endpoints",
        "The service can have no endpoints, so every request to it is answered with 503.",
        "Give it endpoints, or a selector that some workload has.";
    OTHER_CLASS = "GH0103", "Another load balancer's Service",
        "The Service names a loadBalancerClass, so it is left to the load balancer of that class.",
        "Remove loadBalancerClass if gatehouse is to serve it; otherwise nothing needs to be \
         done.";
    PORT_NOT_CARRIED = "GH0104", "Port not carried",
        "A port of a Service has a protocol that is not carried, or no valid number, or is written \
         twice. The Service's other ports are served.",
        "Write protocol TCP or UDP and a number from 1 to 65535, each once.";
    SOURCE_RANGE = "GH0109", "Wrong source range",
        "An entry of a Service's loadBalancerSourceRanges is no network, so it lets nobody in. The \
         other entries are in force; clients of none of them are refused, as with Kubernetes, \
         where the API server takes no such Service.",
        "Write networks such as 192.168.8.0/24, and one address as 192.168.8.7/32.";
    OTHER_GATEWAY = "GH0110", "Another namespace's gateway",
        "A Service of the cluster selects the labels that this gateway has, but stands in another \
         namespace, where Kubernetes finds other Pods. It keeps leading to those.",
        "Nothing, if another gateway runs there. If it is meant for this one, name its namespace in \
         --namespace.";
    OLD_ANNOTATION = "GH0105", "Annotation deprecated or not known",
        "MetalLB's annotations begin with metallb.io/; the older prefix metallb.universe.tf/ is \
         honoured but deprecated.",
        "Write metallb.io/ in its place.";
    ADDRESS_REQUEST = "GH0106", "Wrong request for an address",
        "The address that a Service asks for cannot be read, or it asks in two places, or for two \
         of one family. It keeps what it has and gets nothing new.",
        "Ask in one place only, with one address for each family.";
    REFERENCE = "IST0101", "Referenced object not found",
        "A name leads to nothing: a Gateway, host, subset, pool or selector that no object defines.",
        "Correct the name to the one that the finding suggests, or define the object. Until then \
         a rule that leads there answers 503, and a Gateway, selector or pool that is named in \
         vain has no effect.";
    ADDRESS_OBJECT = "GH0107", "Wrong pool or advertisement",
        "An IPAddressPool or L2Advertisement breaks a rule of its API. It keeps its last good \
         version, or is not used; all others are.",
        "Correct the field that the finding names; addresses that were dealt stay.";

    DELEGATE_CONFLICT = "GH0130", "Rule of a delegate left out",
        "A rule of a delegate asks for requests that the delegating rule does not let through (or \
         one has a regex where the other has a condition), so that it can never be used there.",
        "Let the delegate's match lie within that of the rule that delegates: a longer prefix, \
         and further headers.";

    // Checks over the whole configuration.
    MESH_ONLY = "GH0201", "For sidecars only",
        "A VirtualService without `gateways` applies to the mesh's sidecars alone and does nothing \
         at an ingress gateway.",
        "Name a Gateway in `gateways` to serve it here.";
    NOT_EXPORTED = "GH0202", "Hidden from the gateway",
        "exportTo limits who sees the object, and the gateway's namespace is not among them.",
        "Add the gateway's namespace, or `*`, to exportTo.";
    NO_POOL = "GH0203", "No pool",
        "Services of type LoadBalancer get their addresses from IPAddressPools, and there is none.",
        "Add an IPAddressPool with addresses of your LAN; until then EXTERNAL-IP stays <pending>.";
    NOT_ANNOUNCED = "GH0204", "Pool without advertisement",
        "Addresses of a pool are announced only where an L2Advertisement covers the pool; without \
         one, nothing answers ARP for them.",
        "Add an L2Advertisement, with `ipAddressPools` or without for all.";
    OUTSIDE_POOLS = "GH0205", "Address in no pool",
        "The address that a Service asks for is in no pool, or not in the pool that it asks for.",
        "Ask for an address of a pool, or add it to one; until then EXTERNAL-IP stays <pending>.";
    NO_ENDPOINTS = "GH0206", "Nothing behind a Service",
        "A Service of type LoadBalancer has a port without a ready endpoint, so connections to it \
         are closed.",
        "Start the workload, or correct the Service's selector or targetPort.";
    NOT_AT_GATEWAY = "GH0207", "Not there for the gateway",
        "The object exists, but the gateway does not see it: exportTo hides it, a rule of its API \
         refuses it, or it is not where the gateway looks.",
        "Export it to the gateway's namespace, or mend what the other findings of the object say.";
    IDLE_DELEGATE = "GH0208", "Delegate that nobody names",
        "A VirtualService without hosts is a delegate: its rules act where a rule of another \
         VirtualService delegates to it, and none does. Its routes serve nobody.",
        "Name it in a `delegate`, or give it hosts and gateways of its own.";
    PORT_REQUIRED = "IST0112", "Port of the destination needed",
        "The destination has several ports and the route chooses none.",
        "Add `port: {number: …}` to the destination; until then its requests get 503.";
    HOST_NOT_IN_GATEWAY = "IST0132", "Host not in the Gateway",
        "A VirtualService names a Gateway that serves none of its hosts.",
        "Add the host to a server of the Gateway, or correct it in the VirtualService; until then \
         its requests get 404.";
    SUBSET_WITHOUT_ENDPOINTS = "IST0173", "Subset without endpoints",
        "No endpoint has the labels of a subset, so requests to it are answered with 503.",
        "Correct the subset's labels, or give them to a workload.";
    UNKNOWN_RULE_HOST = "IST0174", "DestinationRule for an unknown host",
        "The host of a DestinationRule is defined by no Service and no ServiceEntry.",
        "Correct the host. Until then the rule changes nothing for traffic.";
    DEPRECATED = "IST0002", "Deprecated",
        "A field or kind that Istio has given up, or is about to.",
        "Write what the finding names in its place; it works the same until it is removed.";
    NOT_INJECTED = "IST0102", "Namespace without sidecars",
        "Pods of the namespace get no sidecar. A gateway reaches them all the same; they are not in \
         a mesh.",
        "For a mesh label it `istio-injection: enabled`; `disabled` silences the message.";
    POD_WITHOUT_PROXY = "IST0103", "Pod without its sidecar",
        "The namespace asks for sidecars and the Pod has none.",
        "Restart it, so that the injector sees it.";
    OLD_PROXY_IMAGE = "IST0105", "Sidecars of an old version",
        "Pods run a sidecar of another version than the injector would give them now.",
        "Restart them.";
    MISPLACED_ANNOTATION = "IST0107", "Annotation on the wrong object",
        "Istio knows the annotation, but not on objects of this kind, where it has no effect.",
        "Move it to the object that the finding names.";
    UNKNOWN_ANNOTATION = "IST0108", "Unknown annotation",
        "The annotation has the form of Istio's, and Istio has none of this name. Most often it is \
         misspelt.",
        "Write the name that the finding suggests, or remove it: it has no effect on traffic.";
    MESH_HOST_CONFLICT = "IST0109", "Two VirtualServices of the mesh for one host",
        "Sidecars take one VirtualService for a host.",
        "Merge the two into one VirtualService.";
    SIDECAR_CONFLICT = "IST0110", "Two Sidecars for one workload",
        "A workload takes one Sidecar.",
        "Let their selectors select different Pods. A gateway takes no notice of Sidecars.";
    SIDECARS_WITHOUT_SELECTOR = "IST0111", "Two Sidecars for one namespace",
        "A namespace takes one Sidecar without a workloadSelector.",
        "Merge the two, or give one a selector. A gateway takes no notice of Sidecars.";
    TWO_PROTOCOLS = "IST0116", "One port, two protocols",
        "Several Services lead to one port of a Deployment with different protocols.",
        "Give the port one protocol in all Services; sidecars may take either, a gateway goes by \
         the Service that a route names.";
    PORT_NAME = "IST0118", "Port name without a protocol",
        "The name of a Service's port, or its appProtocol, says what is spoken there: `http`, \
         `http2-api`, `grpc-web`. Without it HTTP/1.1 is taken for routes, TCP for the rest.",
        "Name the port `http` or `tcp-…`, or set appProtocol.";
    TWO_INJECTION_LABELS = "IST0123", "Labels for several kinds of injection",
        "A namespace carries more than one of the labels that ask for sidecars or ambient mode.",
        "Keep one of the labels.";
    INVALID_ANNOTATION = "IST0125", "Annotation with a wrong value",
        "The value of one of Istio's annotations cannot be read, so it has no effect.",
        "Write a value of the kind that the finding names.";
    NO_WORKLOADS = "IST0127", "Policy for nobody",
        "No workload has the labels that a policy selects, so it guards nothing.",
        "Correct the selector. Until then the workloads that it was meant for are not guarded.";
    UNVERIFIED_UPSTREAM = "IST0128", "TLS to an upstream that anybody may be",
        "A DestinationRule asks for TLS and names no CA, so that the upstream's certificate is not \
         verified.",
        "Set caCertificates, or a credentialName with a CA.";
    UNVERIFIED_UPSTREAM_PORT = "IST0129", "TLS to a port that anybody may be",
        "A DestinationRule asks for TLS for a port and names no CA, so that the upstream's \
         certificate is not verified.",
        "Set caCertificates of the port, or a credentialName with a CA.";
    ADDRESSES_REQUIRED = "IST0134", "ServiceEntry without addresses",
        "Sidecars tell the TCP traffic of a ServiceEntry by its addresses. A gateway does not need \
         them.",
        "Add `addresses` if sidecars use it; for a gateway nothing needs to be done.";
    DEPRECATED_ANNOTATION = "IST0135", "Annotation deprecated",
        "Istio still honours the annotation, but will not for ever.",
        "Write the field that the finding names in its place.";
    CONFLICTING_PORTS = "IST0137", "One target port, two ports",
        "Several ports of Services lead to one port of a Deployment.",
        "Let one Service port lead to it, or give both the same protocol.";
    DUPLICATE_CERTIFICATE = "IST0138", "One certificate in two Gateways",
        "A browser that has an HTTP/2 connection to one Gateway sends requests for the other over it, \
         since the certificate is good for both. They are answered 421, and browsers ask again on \
         another connection; not every client does, and with `--misdirected 404` they get 404.",
        "Serve both hosts from one Gateway, or give each a certificate of its own.";
    INVALID_WEBHOOK = "IST0139", "Webhook wrong",
        "Two injectors take the same Pods, or an injector calls a Service that is not there.",
        "Narrow the selectors of one of them, or correct the Service that it names.";
    SUBSET_NOT_AT_INGRESS = "IST0140", "Subsets not chosen at the gateway",
        "A VirtualService divides a host into subsets for the mesh, but a route of the gateway to \
         the same host names no subset and goes to all endpoints.",
        "Name a subset in the gateway's route as well, if it is to go to some endpoints only.";
    SIDECAR_USER = "IST0144", "Application runs as the sidecar's user",
        "Traffic of the user 1337 does not go through a sidecar.",
        "Run the application as another user.";
    CONFLICTING_GATEWAYS = "IST0145", "Gateways in conflict",
        "Two Gateways serve the same host on the same port at the same workloads. Routes of both are \
         merged, the older Gateway's first.",
        "Keep the host in one of them.";
    AUTO_IMAGE_POD = "IST0147", "Image `auto` in a Pod",
        "The injector replaces the image `auto`; this Pod was not injected and cannot start.",
        "Let the namespace or the Pod ask for injection, and create the Pod again.";
    AUTO_IMAGE_DEPLOYMENT = "IST0146", "Image `auto` without injection",
        "The injector replaces the image `auto`, and no injector looks at these Pods.",
        "Let the namespace or the Pods ask for injection.";
    INJECTED_BY_DEFAULT = "IST0148", "Injection by default",
        "The injector gives sidecars to every namespace that does not refuse them.",
        "Nothing needs to be done; `istio-injection: disabled` keeps a namespace out.";
    UNVERIFIED_CLAIM = "IST0149", "JWT claim that nobody verifies",
        "A route depends on a claim of a token, and no RequestAuthentication verifies tokens at the \
         gateway, so that the match never holds.",
        "Add a RequestAuthentication that selects the gateway, or route by an ordinary header. \
         Until then the rule's requests go to a later rule or get 404.";
    EXTERNAL_NAME_PORT = "IST0150", "Port of an ExternalName Service",
        "The port of an ExternalName Service needs a name that begins with its protocol, and not \
         `tcp` alone.",
        "Name the port `http`, `tls` or what is spoken there. Sidecars take it for TCP until \
         then; a gateway is not concerned.";
    ENVOY_FILTER_RELATIVE = "IST0151", "EnvoyFilter relative to others",
        "A patch whose place depends on what other filters insert, without a priority.",
        "Give the EnvoyFilter a priority. gatehouse applies no EnvoyFilter.";
    ENVOY_FILTER_REPLACE = "IST0152", "EnvoyFilter: REPLACE without effect",
        "REPLACE works on HTTP filters, network filters and virtual hosts only.",
        "Patch a filter or a virtual host, or use MERGE. gatehouse applies no EnvoyFilter.";
    ENVOY_FILTER_ADD = "IST0153", "EnvoyFilter: ADD without effect",
        "ADD does nothing on a route configuration or an HTTP route.",
        "Use MERGE or INSERT_FIRST. gatehouse applies no EnvoyFilter.";
    ENVOY_FILTER_REMOVE = "IST0154", "EnvoyFilter: REMOVE without effect",
        "REMOVE does nothing on a route configuration or an HTTP route.",
        "Remove what stands inside of it. gatehouse applies no EnvoyFilter.";
    ENVOY_FILTER_VERSION = "IST0155", "EnvoyFilter relative to a versioned one",
        "A patch whose place depends on a filter that is there for some proxy versions only, without \
         a priority.",
        "Give the EnvoyFilter a priority. gatehouse applies no EnvoyFilter.";
    IDLE_TELEMETRY = "IST0157", "Telemetry without a provider",
        "Access logging is asked for without a provider, and MeshConfig names no default one.",
        "Name a provider, or a default one in MeshConfig; until then nothing is logged for it.";
    TELEMETRY_CONFLICT = "IST0159", "Two Telemetries for one workload",
        "Several Telemetries select one workload; which of them counts is left open.",
        "Merge them, or let their selectors select different workloads.";
    TELEMETRIES_WITHOUT_SELECTOR = "IST0160", "Two Telemetries for one namespace",
        "Several Telemetries without a selector lie in one namespace; which of them counts is left \
         open.",
        "Merge them, or give one a selector.";
    INVALID_CREDENTIAL = "IST0161", "Secret without a usable certificate",
        "The Secret that a Gateway names holds no certificate, or one that has expired.",
        "Renew the certificate, or name another Secret; until then TLS handshakes fail.";
    CONTROL_PLANE_ADDRESS = "IST0163", "Webhook without an address",
        "A webhook of Istio's control plane has no valid URL and no Service.",
        "Give it a `url`, or a `service`; traffic through the gateway is not concerned.";
    CONTROL_PLANE_IP = "IST0164", "Webhook calls an IP address",
        "A webhook of Istio's control plane is called by its IP address, not by a host name.",
        "Write a host name that its certificate has; traffic through the gateway is not \
         concerned.";
    INTERNAL_GATEWAY = "IST0165", "Gateway that Istio made",
        "A VirtualService names a Gateway that Istio generates from the Gateway API's.",
        "Name a Gateway of your own; until then the routes are not served through it.";
    IDLE_SELECTOR = "IST0166", "Selector without effect",
        "A policy selects the Pods of a Gateway of the Gateway API, which go by targetRefs only.",
        "Write `targetRefs` with the Gateway in place of the selector; until then it guards \
         nothing there.";
    IDLE_POLICY = "IST0167", "Policy without effect",
        "What the policy is for does not look at policies of this kind.",
        "Attach it to something that reads it, or remove it; until then it changes nothing.";
    NEGATIVE_CONDITION = "IST0171", "Condition says no",
        "The status that a controller wrote says that it could not do what the object asks for.",
        "Read the condition's own message; the controller that wrote it knows why.";
    OPEN_JWKS = "IST0175", "Keys may be fetched from anywhere",
        "istiod fetches keys for RequestAuthentications from any address, also inside of the network, \
         unless BLOCKED_CIDRS_IN_JWKS_URIS says otherwise.",
        "Set BLOCKED_CIDRS_IN_JWKS_URIS on istiod, or write the keys as `jwks`.";
    OLD_GATEWAY_API = "IST0176", "Gateway API too old",
        "A CRD of the Gateway API is older than Istio needs, so that Istio does not read its objects.",
        "Install the newer CRDs.";
    CONFLICTING_PROTOCOLS = "IST0177", "ServiceEntries disagree on a protocol",
        "Several ServiceEntries define one host and port with different protocols.",
        "Write the same protocol in all of them; the oldest entry's is taken.";
    // The daemon: listening and announcing.
    PORT_NOT_ON_SERVICE = "IST0162", "Gateway port not on the Service",
        "No port of the LoadBalancer Service that selects the gateway leads to this port of the \
         Gateway, so that nobody can reach it.",
        "Add the port to the Service, or change the Gateway's.";
    LISTENER_PENDING = "GH0301", "Waiting for an address",
        "The Service that leads to this port of the Gateway has no address yet. It listens as soon \
         as the Service gets one.",
        "See why the Service is pending (`gatehouse get services`), or start with --listen.";
    NOT_LISTENING = "GH0302", "Socket cannot be opened",
        "Another program has the port, or the process may not use it. It is tried again every few \
         seconds.",
        "Stop the other program (`ss -ltnp` names it), or give the daemon CAP_NET_BIND_SERVICE. \
         Until then connections go to the other program or are refused.";
    NOT_PERMITTED = "GH0401", "Addresses not announced",
        "Answering ARP needs CAP_NET_RAW and CAP_NET_ADMIN. Without them the gateway serves at the \
         host's own addresses only.",
        "Start it with both (the systemd unit has them), or as root.";
    LABELS = "GH0404", "Labels of the own Pod",
        "In a Pod its labels say which Gateways and Services are this gateway's. Before they are known \
         nothing is served, since a guess might serve other Gateways: public ones on an internal \
         gateway.",
        "Allow it to list and watch Pods, set POD_NAME and POD_NAMESPACE by the downward API, or name \
         the labels with --labels.";
    ADMIN_NOT_LISTENING = "GH0501", "Admin server not listening",
        "One of the servers for the admin API, metrics or health cannot listen; the gateway and its \
         other servers go on.",
        "Give it another address with --admin, --status or --health, or `off`.";
    NODES = "GH0403", "Nodes do not find or hear one another",
        "Nodes of a cluster find one another through Leases and a Secret, and hear one another by \
         UDP 7946. Who is not heard counts as dead, and another node announces its addresses.",
        "Let UDP 7946 through between the nodes, both ways, and give gatehouse the rights of \
         deploy/rbac.yaml.";
    ANNOUNCING = "GH0402", "Announcing addresses",
        "Something stands between an address and the LAN: a conflict, an interface, a fallback.",
        "`gatehouse get addresses` says which; free the address elsewhere, or bring the interface \
         up.";
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
    fn every_code_says_what_happened_and_how_to_mend_it() {
        for code in CODES {
            for text in [code.explanation, code.fix] {
                assert!(
                    text.len() > 12 && text.ends_with('.'),
                    "{}: {text}",
                    code.id
                );
            }
            assert!(
                !code.explanation.contains(code.fix),
                "{} says it twice",
                code.id
            );
        }
    }

    #[test]
    fn a_code_is_found_in_any_case() {
        assert_eq!(find("ist0106").map(|code| code.title), Some("Schema error"));
        assert_eq!(find("GH9999"), None);
    }
}
