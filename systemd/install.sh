#!/bin/sh
# Installs gatehouse on a host with systemd, or takes it away again. Safe to run twice.
set -eu

usage() {
  cat <<'TEXT'
Usage: systemd/install.sh [--prefix DIR] [--binary FILE] [--no-start]
       systemd/install.sh --uninstall [--purge] [--prefix DIR]

Installs the binary, the unit, its user, the layout of /etc/gatehouse and the examples. A daemon
that runs already is restarted with the new binary; one that does not is left to you:
    systemctl enable --now gatehouse

  --prefix DIR    where to put it (/usr/local)
  --binary FILE   the binary (target/release/gatehouse of this repository)
  --no-start      do not restart a daemon that runs
  --uninstall     stop the daemon and remove what was installed; /etc/gatehouse and the
                  allocations in /var/lib/gatehouse stay
  --purge         with --uninstall: remove these too, and the user

With DESTDIR set, everything goes below that directory and the running system is left alone.
TEXT
}

die() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
prefix=/usr/local
binary=
uninstall=
purge=
start=yes
destdir=${DESTDIR:-}

while [ $# -gt 0 ]; do
  case $1 in
    --prefix | --binary)
      [ $# -ge 2 ] || die "$1 needs a value"
      case $1 in
        --prefix) prefix=$2 ;;
        --binary) binary=$2 ;;
      esac
      shift
      ;;
    --prefix=*) prefix=${1#*=} ;;
    --binary=*) binary=${1#*=} ;;
    --no-start) start= ;;
    --uninstall) uninstall=yes ;;
    --purge) purge=yes ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      die "unknown argument: $1"
      ;;
  esac
  shift
done
case $prefix in
  /*) prefix=${prefix%/} ;;
  *) die "--prefix must be an absolute path, not $prefix" ;;
esac
case $prefix in
  *[!A-Za-z0-9/._-]*) die "--prefix may hold letters, digits and / . _ - only: $prefix" ;;
esac
[ -z "$purge" ] || [ -n "$uninstall" ] || die '--purge goes with --uninstall'
[ -n "$destdir" ] || [ "$(id -u)" = 0 ] || die 'run it as root, or set DESTDIR'

bin=$prefix/bin/gatehouse
# systemd looks below /usr and /usr/local; with any other prefix its files go to /etc.
case $prefix in
  /usr | /usr/local) lib=$prefix/lib ;;
  *) lib=/etc ;;
esac
unit=$lib/systemd/system/gatehouse.service
sysusers=$lib/sysusers.d/gatehouse.conf
tmpfiles=$lib/tmpfiles.d/gatehouse.conf
doc=$prefix/share/doc/gatehouse
etc=/etc/gatehouse
state=/var/lib/gatehouse

# Whether there is a running systemd that should hear of it.
systemd() {
  [ -z "$destdir" ] && [ -d /run/systemd/system ]
}

remove() {
  if systemd; then
    systemctl disable --now gatehouse.service 2>/dev/null || true
  fi
  rm -f "$destdir$bin" "$destdir$unit" "$destdir$sysusers" "$destdir$tmpfiles"
  rm -rf "$destdir$doc"
  if [ -n "$purge" ]; then
    rm -rf "$destdir$etc" "$destdir$state"
    if [ -z "$destdir" ] && getent passwd gatehouse >/dev/null; then
      userdel gatehouse
    fi
  fi
  if systemd; then
    systemctl daemon-reload
  fi
  printf 'gatehouse is removed from %s\n' "$destdir$prefix"
  if [ -z "$purge" ]; then
    printf '%s and %s stay; --uninstall --purge removes them\n' "$destdir$etc" "$destdir$state"
  fi
}

# put MODE SOURCE TARGET, with this installation's paths filled in.
put() {
  mkdir -p "$destdir$(dirname "$3")"
  sed -e "s|/usr/local/bin/gatehouse|$bin|g" -e "s|@DOCDIR@|$doc|g" "$2" >"$destdir$3.new"
  chmod "$1" "$destdir$3.new"
  mv -f "$destdir$3.new" "$destdir$3"
}

add() {
  if [ -z "$binary" ]; then
    binary=${CARGO_TARGET_DIR:-$root/target}/release/gatehouse
    [ -x "$binary" ] || die "$binary is not there: run \"cargo build --release\" first, or name one with --binary"
  fi
  if [ ! -f "$binary" ] || [ ! -x "$binary" ]; then
    die "$binary is not a program"
  fi

  # A new file under the old name: the running daemon keeps the old one until it is restarted.
  mkdir -p "$destdir$prefix/bin"
  cp "$binary" "$destdir$bin.new"
  chmod 0755 "$destdir$bin.new"
  mv -f "$destdir$bin.new" "$destdir$bin"

  put 0644 "$here/gatehouse.service" "$unit"
  put 0644 "$here/gatehouse.sysusers" "$sysusers"
  put 0644 "$here/gatehouse.tmpfiles" "$tmpfiles"
  rm -rf "$destdir$doc/examples"
  mkdir -p "$destdir$doc/examples"
  cp -R "$root/config/examples/." "$destdir$doc/examples/"
  cp "$root/LICENSE" "$root/README.md" "$destdir$doc/"
  chmod -R u=rwX,go=rX "$destdir$doc"

  if [ -z "$destdir" ]; then
    if command -v systemd-sysusers >/dev/null; then
      systemd-sysusers "$sysusers"
    elif ! getent passwd gatehouse >/dev/null; then
      useradd --system --no-create-home --shell /usr/sbin/nologin gatehouse
    fi
  fi
  mkdir -p "$destdir$etc/resources"
  put 0644 "$here/etc/README" "$etc/README"
  # The administrator's own from the first day on.
  [ -e "$destdir$etc/options" ] || put 0640 "$here/etc/options" "$etc/options"
  chmod 0750 "$destdir$etc" "$destdir$etc/resources"
  if [ -z "$destdir" ]; then
    chgrp gatehouse "$etc" "$etc/resources" "$etc/README" "$etc/options"
  fi

  if systemd; then
    systemctl daemon-reload
    if [ -n "$start" ]; then
      systemctl try-restart gatehouse.service
    fi
  fi
  printf 'gatehouse is installed in %s\n' "$destdir$prefix"
  if [ -n "$destdir" ]; then
    return
  fi
  if systemd && systemctl is-active --quiet gatehouse.service; then
    printf 'the daemon runs: gatehouse get services\n'
  else
    printf 'next: put your objects into %s/resources (see %s/README), then\n' "$etc" "$etc"
    printf '    systemctl enable --now gatehouse\n'
  fi
}

if [ -n "$uninstall" ]; then
  remove
else
  add
fi
