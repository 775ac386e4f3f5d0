
# Names are asked of inferd; all else is completed as above.
_inferctl_with_names() {
    local i word bus=() command= model= place=0 what=
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
            --bus) bus=(--bus "${COMP_WORDS[i + 1]}"); ((i++)) ;;
            --count | --socket | --seconds | --output | -o) ((i++)) ;;
            -*) ;;
            *)
                if [[ -z $command ]]; then
                    command=$word
                else
                    ((place++))
                    [[ $place -eq 1 ]] && model=$word
                fi
                ;;
        esac
    done
    case $command:$place in
        start:0 | stop:0 | capture:0 | record:0 | watch:0) what=pipelines ;;
        activate:0 | rollback:0 | remove:0) what=models ;;
        activate:1 | remove:1) what=versions ;;
    esac
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        --bus | --count | --socket | --seconds | --output | -o) what= ;;
    esac
    if [[ -z $what || ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
        _inferctl "$@"
        return
    fi
    [[ $what == versions ]] || model=
    mapfile -t COMPREPLY < <(
        compgen -W "$("$1" "${bus[@]}" complete-names "$what" ${model:+"$model"} 2>/dev/null)" \
            -- "${COMP_WORDS[COMP_CWORD]}"
    )
}
# Before bash 4.4 there is no `nosort`.
complete -F _inferctl_with_names -o nosort -o bashdefault -o default inferctl 2>/dev/null ||
    complete -F _inferctl_with_names -o bashdefault -o default inferctl
