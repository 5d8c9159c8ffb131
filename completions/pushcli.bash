_pushcli_completion() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case ${line%%,*} in
            plain) COMPREPLY+=("${line#*,}") ;;
            part) COMPREPLY+=("${line#*,}"); compopt -o nospace ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
    done < <(
        _PUSHCLI_COMPLETE=bash_line _PUSHCLI_LINE="${COMP_LINE:0:COMP_POINT}" \
            _PUSHCLI_AFTER="${COMP_LINE:COMP_POINT}" _PUSHCLI_BREAKS="$COMP_WORDBREAKS" \
            "${1/#\~/$HOME}" 2>/dev/null
    )
}

complete -o nosort -F _pushcli_completion pushcli
