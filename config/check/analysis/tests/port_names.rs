//! Names of ports that tell no protocol.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "port name",
        &["apiVersion: v1
kind: Service
metadata: {name: b, namespace: default}
spec: {ports: [{name: web, port: 8080}]}"],
        &["IST0118 info Service default/b"],
    ),
    (
        "port name app protocol",
        &["apiVersion: v1
kind: Service
metadata: {name: b, namespace: default}
spec: {ports: [{name: web, port: 8080, appProtocol: http}]}"],
        &[],
    ),
    (
        "port name external",
        &["apiVersion: v1
kind: Service
metadata: {name: b, namespace: default}
spec: {type: ExternalName, externalName: x.lan, ports: [{name: tcp, port: 80}]}"],
        &["IST0150 warning Service default/b"],
    ),
];
