# Names are asked of inferd.
_inferctl_names() {
    local -a found bus
    (( ${+opt_args[--bus]} )) && bus=(--bus "${opt_args[--bus]}")
    found=(${(f)"$(command inferctl $bus complete-names "$@" 2>/dev/null)"})
    compadd -a found
}
(( $+functions[_inferctl_pipelines] )) ||
_inferctl_pipelines() {
    _inferctl_names pipelines
}
(( $+functions[_inferctl_models] )) ||
_inferctl_models() {
    _inferctl_names models
}
(( $+functions[_inferctl_versions] )) ||
_inferctl_versions() {
    # In here the words begin at the command, and the model is the first that is no option.
    local word
    for word in "${(@)words[2,CURRENT-1]}"; do
        [[ $word == -* ]] && continue
        _inferctl_names versions "$word"
        return
    done
}
