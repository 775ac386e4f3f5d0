
# Names are asked of inferd.
function __inferctl_names
    set -l bus
    set -l words (commandline -opc)
    for i in (seq 2 (count $words))
        if test "$words[$i]" = --bus
            set -l next (math $i + 1)
            set -q words[$next]; and set bus --bus $words[$next]
        end
    end
    command inferctl $bus complete-names $argv 2>/dev/null
end

# The arguments after the command, without options.
function __inferctl_arguments
    set -l words (commandline -opc)
    set -l found
    set -l skip 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word --bus --count --socket --seconds --output -o
            set skip 1
        else if not string match -q -- '-*' $word
            set -a found $word
        end
    end
    # The first is the command itself.
    test (count $found) -gt 1; and string join \n $found[2..-1]
end

function __inferctl_has_arguments
    test (count (__inferctl_arguments)) -eq $argv[1]
end

for command in start stop capture record watch
    complete -c inferctl -n "__fish_inferctl_using_subcommand $command; and __inferctl_has_arguments 0" -f -a "(__inferctl_names pipelines)"
end
for command in activate rollback remove
    complete -c inferctl -n "__fish_inferctl_using_subcommand $command; and __inferctl_has_arguments 0" -f -a "(__inferctl_names models)"
end
for command in activate remove
    complete -c inferctl -n "__fish_inferctl_using_subcommand $command; and __inferctl_has_arguments 1" -f -a "(__inferctl_names versions (__inferctl_arguments))"
end
