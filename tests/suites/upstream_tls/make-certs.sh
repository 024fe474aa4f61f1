#!/bin/bash
# A CA with servers up.lan, old.lan (expired) and revoked.lan, clients one and two, a list of revoked
# certificates and one that has expired, a server that signed its own certificate (nas.lan), and another CA.
set -e; cd "$1"
ec=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
ca() { openssl req -x509 "${ec[@]}" -keyout "$1.key" -out "$1.crt" -days 365 -subj "/CN=$1" 2>/dev/null; }
leaf() { # name, names, subject, further options
  local name=$1 names=$2 subject=$3; shift 3
  openssl req "${ec[@]}" -keyout "$name.key" -out "$name.csr" -subj "/CN=$subject" 2>/dev/null
  openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 8)" "$@" \
    -out "$name.crt" -extfile <(printf 'subjectAltName=%s\n' "$names") 2>/dev/null
}
case "$2" in
  again) leaf "$3" DNS:client.lan "$4" -days 30; exit ;;
esac
ca ca; ca other
leaf up 'DNS:up.lan,DNS:*.w.lan' up.lan -days 30
leaf old DNS:old.lan old.lan -not_before 20200101000000Z -not_after 20210101000000Z 2>/dev/null ||
  leaf old DNS:old.lan old.lan -days -1
leaf revoked DNS:revoked.lan revoked.lan -days 30
leaf client DNS:client.lan one -days 30
openssl req -x509 "${ec[@]}" -keyout nas.key -out nas.crt -days 30 -subj /CN=nas.lan -addext subjectAltName=DNS:nas.lan 2>/dev/null
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=30\n' > conf
: > index; echo 01 > number
openssl ca -config conf -keyfile ca.key -cert ca.crt -revoke revoked.crt 2>/dev/null
openssl ca -config conf -keyfile ca.key -cert ca.crt -gencrl -out ca.crl 2>/dev/null
openssl ca -config conf -keyfile ca.key -cert ca.crt -gencrl -crl_lastupdate 20240101000000Z \
  -crl_nextupdate 20240201000000Z -out old.crl 2>/dev/null
