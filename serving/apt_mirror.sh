# Sourced: where this machine itself gets Debian's packages.

# Prints the mirror of Debian that the machine's apt sources name, in the one-line or the deb822 format; nothing where
# they name none.
apt_mirror() {
    { grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null || true; } |
        tr -d ' ' | head -1
}
