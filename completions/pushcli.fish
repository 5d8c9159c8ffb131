function _pushcli_completion
    set -l before (commandline -opc)
    set -lx _PUSHCLI_COMPLETE fish_words
    set -lx _PUSHCLI_AFTER (commandline -op | string collect)
    set -l current (commandline -ct | string collect --allow-empty)
    for line in (pushcli $before[2..-1] $current 2>/dev/null)
        set -l parts (string split -m 1 "," -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain part
                printf '%s\n' $parts[2]
        end
    end
end

complete --no-files --keep-order --command pushcli --arguments "(_pushcli_completion)"
