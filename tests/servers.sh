#!/usr/bin/env bash
# Put promtool, haproxy, named and pdns_server into FOLDER/bin: links to what is installed, or
# wrappers around Debian's packages unpacked into FOLDER. Installs nothing, starts nothing.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
declare -A package=([promtool]=prometheus [haproxy]=haproxy [named]=bind9 [pdns_server]=pdns-server)

installed() { PATH="$PATH:/usr/sbin:/sbin" type -P "$1" || true; }

fetch() { # PACKAGE...: the packages and what they need that is not here
  mkdir -p "$folder/archives/partial"
  apt-get install --quiet=2 --no-install-recommends --yes --download-only \
    -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Dir::Cache::archives="$folder/archives" "$@" >/dev/null
}

wanted=()
mkdir -p "$folder/bin"
PATH=${PATH//$folder\/bin:/}
for server in "${!package[@]}"; do
  found=$(installed "$server")
  if [ -n "$found" ]; then ln -sf "$found" "$folder/bin/$server"; else wanted+=("${package[$server]}"); fi
done

if [ ${#wanted[@]} -gt 0 ]; then
  echo "not installed here: ${wanted[*]}; unpacking Debian's packages into ${folder#"$PWD"/} (nothing is installed)"
  case " ${wanted[*]} " in *" pdns-server "*) wanted+=(pdns-backend-sqlite3) ;; esac
  fetch "${wanted[@]}" || { [ "$(id -u)" = 0 ] && apt-get update --quiet=2 && fetch "${wanted[@]}"; } || {
    echo "They could not be had. On Debian or Ubuntu: apt-get install ${wanted[*]}; elsewhere, put" \
      "promtool, haproxy, named and pdns_server on the PATH. Then try again." >&2
    exit 1
  }
  for archive in "$folder"/archives/*.deb; do dpkg-deb -x "$archive" "$folder/root"; done
  rm -rf "$folder/archives" "$folder/root/usr/share" "$folder/root/usr/bin/prometheus"
  libraries=$(find "$folder/root" -type d -name '*-linux-gnu' -path '*/lib/*' | paste -sd:)
  for server in "${!package[@]}"; do
    [ -e "$folder/bin/$server" ] && continue
    program=$(find "$folder/root/usr" -type f -path "*bin/$server" -print -quit)
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\nexport LD_LIBRARY_PATH\nexec %q "$@"\n' \
      "$libraries" "$program" >"$folder/bin/$server"
    chmod +x "$folder/bin/$server"
  done
fi
touch "$folder/.ready"
