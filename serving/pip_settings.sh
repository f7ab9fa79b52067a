# Sourced by the scripts here: what pip is configured to use, from its files and its environment alike.

# `pip config get` looks into one file only, `pip config list` into all and the environment (which comes last and wins).
pip_setting() { # PYTHON NAME
    "$1" -m pip config list 2>/dev/null |
        sed -n -E "s/^(global|install|:env:)\.$2=['\"](.*)['\"]$/\2/p" | tail -1 | sed 's/\\n/ /g; s/^ *//; s/ *$//'
}
