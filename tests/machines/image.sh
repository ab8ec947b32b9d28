#!/bin/sh
# Writes the root file system of a test machine to the tar $1: Debian 12 with systemd, sshd and Python, and the packages
# that a fleet needs in a repository of its own, so that they can be installed without a network. The user ops may become
# root, dev may not. Needs root and mmdebstrap.
set -eu
mirror=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)

# usr-is-merged and the hook of that name keep usrmerge out, and all of perl with it.
include=usr-is-merged,systemd-sysv,dbus,libpam-systemd,openssh-server,python3,sudo,iproute2,procps,ca-certificates

repository='
set -eu
mkdir /srv/apt
apt-get clean
apt-get -qq -y --download-only --no-install-recommends install git haproxy libgomp1
mv /var/cache/apt/archives/*.deb /srv/apt
cd /srv/apt
for deb in *.deb; do
    dpkg-deb --field "$deb"
    printf "Filename: ./%s\nSize: %s\nSHA256: %s\n\n" "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d " " -f 1)"
done >Packages
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
echo "deb [trusted=yes] file:/srv/apt ./" >/etc/apt/sources.list.d/srv.list
'

machine='
set -eu
rm -f /etc/ssh/ssh_host_* /etc/machine-id
: >/etc/machine-id
systemctl mask getty.target console-getty.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-modules-load.service systemd-firstboot.service systemd-networkd-wait-online.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
printf "UseDNS no\nPasswordAuthentication no\nMaxStartups 100:30:200\nAuthorizedKeysFile /etc/ssh/authorized_keys\n" \
    >/etc/ssh/sshd_config.d/test.conf
mkdir -p /etc/systemd/system/ssh.service.d
printf "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n" \
    >/etc/systemd/system/ssh.service.d/host-keys.conf
useradd --create-home --shell /bin/bash ops
useradd --create-home --shell /bin/bash dev
echo "ops ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/ops
'

mmdebstrap --quiet --variant=apt --mode=root --format=tar \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --include="$include" \
    --aptopt='APT::Install-Recommends "false"' \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="chroot \"\$1\" sh -c '$repository'" \
    --customize-hook="chroot \"\$1\" sh -c '$machine'" \
    bookworm "$1" "${mirror:-http://deb.debian.org/debian}"
