#!/usr/bin/env bash
# The experiments of Shi et al. 2015, all rows and baselines, and a report with the paper's numbers beside ours.
#   scripts/reproduce_paper.sh [radar [--data DIR]] [mnist [--data DIR]] [--quick] [--output DIR] [-- key=value …]
# Without radar or mnist: both. Started again it goes on where it stopped.
#   --data DIR    of the experiment named before it: HKO-7, or a folder of Environment Canada's *_Rain.gif (radar);
#                 MNIST's files (mnist). Without it radar runs on synthetic echoes, and MNIST is downloaded.
#   --quick       the whole chain at reduced size, in minutes on two cores
#   --output DIR  of the runs and the reports; outputs/reproduction or outputs/reproduction_quick
#   key=value     for every training; trainer=gpu is chosen by itself where there is a GPU
set -euo pipefail
export PYTHONSAFEPATH=1  # nothing is imported from the working directory, which may hold a folder called nowcast

usage() { sed -n '2,10s/^# \{0,1\}//p' "$0"; }
refuse() { echo "reproduce_paper.sh: $1" >&2; usage >&2; exit 2; }
value_of() { [[ -n ${2:-} ]] || refuse "$1 needs a folder"; echo "$2"; }

declare -A given=()
what=() quick=false output='' extra=()
while (($#)); do
    case $1 in
        mnist | radar) what+=("$1") ;;
        --data)
            ((${#what[@]})) || refuse "--data belongs to an experiment: say mnist or radar before it"
            given[${what[-1]}]=$(value_of "$@") || exit
            [[ -d ${given[${what[-1]}]} ]] || refuse "--data ${given[${what[-1]}]}: no such folder"
            shift
            ;;
        --quick) quick=true ;;
        --output) output=$(value_of "$@") || exit; shift ;;
        --) shift; extra=("$@"); break ;;
        -h | --help) usage; exit ;;
        *) refuse "unknown argument $1" ;;
    esac
    shift
done
command -v nowcast >/dev/null || refuse "no command nowcast: make .venv/installed && source .venv/bin/activate"
((${#what[@]})) || what=(radar mnist) # radar first: it needs no network
$quick && : "${output:=outputs/reproduction_quick}"
: "${output:=outputs/reproduction}"
{ mkdir -p "$output" && [[ -w $output ]]; } || refuse "--output $output: not a folder that can be written"
exec 9>"$output/.lock"
if command -v flock >/dev/null && ! flock --nonblock 9; then
    echo "reproduce_paper.sh: another one is writing $output; wait for it, or choose another --output" >&2
    exit 1
fi
if [[ " ${extra[*]}" != *" trainer="* ]] && python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    extra=(trainer=gpu trainer.precision=32-true "${extra[@]}") # the paper's precision
fi

# A folder as a value that Hydra takes as it is, whatever characters it has.
quoted() { printf "'%s'" "${1//\'/\\\'}"; }
run() { echo "+ nowcast ${*@Q}"; nowcast "$@"; }
train() { # folder of the run, experiment, settings
    run train experiment="$2" output="$(quoted "$output/$1")" resume=auto "${@:3}" "${extra[@]}"
}
# In the reduced chain a row has a network with fewer channels: the settings behind the row's name.
reduced() { if $quick; then echo "$1"; fi; }

mnist() {
    local settings=() row
    [[ -z ${given[mnist]:-} ]] || settings+=(data.mnist="$(quoted "${given[mnist]}")")
    $quick && settings+=(reduced=mnist)
    train mnist_fc_lstm mnist_fc_lstm "${settings[@]}" $(reduced 'model.hidden=[256,256]')
    train mnist_convlstm_1x256 mnist_convlstm_1x256 "${settings[@]}" $(reduced 'model.hidden=[16]')
    for row in mnist_convlstm_2x128 mnist_convlstm_9x9_2layers; do
        train $row $row "${settings[@]}" $(reduced 'model.hidden=[12,12]')
    done
    for row in mnist_convlstm_3layers mnist_convlstm_9x9_3layers; do
        train $row $row "${settings[@]}" $(reduced 'model.hidden=[12,8,8]')
    done
    # The out-of-domain row: the three-layer network on three digits that it never saw.
    if [[ ! -e $output/mnist_three_digits/evaluation/settings.yaml ]]; then
        run evaluate checkpoint="$(quoted "$output/mnist_convlstm_3layers/checkpoints/best.ckpt")" \
            '+data.test_digits.images=[500,1000]' +data.test_digits.per_sequence=3 \
            output="$(quoted "$output/mnist_three_digits/evaluation")"
    fi
}

radar() {
    local settings=() variant=_synthetic data=${given[radar]:-} folders=() tuned
    if [[ -n $data ]]; then
        mapfile -t folders < <(find -L "$data" -name '*_Rain.gif' -printf '%h\n' | sort -u)
        if ((${#folders[@]})); then
            variant=_open
            prepare_eccc "$data" "${folders[@]}"
            settings+=(data.archives.source.archives="[$(quoted "$output/archives")]")
        else
            echo "no *_Rain.gif below $data: read as HKO-7"
            variant=''
            settings+=(data.archives.source.folder="$(quoted "$data")")
        fi
    fi
    $quick && settings+=(reduced=radar$variant)
    # ROVER is tuned on the validation windows, like the paper's.
    tuned=$output/tuned_rover$variant
    echo "+ python -m nowcast.commands.tune_baseline experiment=paper_radar$variant"
    python -m nowcast.commands.tune_baseline experiment=paper_radar$variant "${settings[@]}" output="$(quoted "$tuned")" "${extra[@]}"
    mapfile -t rover <"$tuned/overrides.txt"
    train paper_radar paper_radar$variant "${settings[@]}" "${rover[@]}" $(reduced 'model.hidden=[12,12]')
    train paper_radar_fc_lstm paper_radar$variant model=fc_lstm name=paper_radar_fc_lstm "${settings[@]}" \
        'model.frame_shape=[${data.archives.size},${data.archives.size}]' \
        baselines.{persistence,extrapolation,rover1,rover2,rover3}=null $(reduced 'model.hidden=[100,100]')
}

prepare_eccc() { # the folder given, and those below it of one radar each
    local data=${1%/} folder name archive files
    shift
    mkdir -p "$output/archives"
    for folder in "$@"; do
        name=${folder#"$data"}
        name=${name#/}
        [[ -n $name ]] || name=$(basename "$(realpath "$folder")")
        archive=$output/archives/eccc_$(tr '[:upper:]/ ' '[:lower:]__' <<<"$name").nc
        files=$(find -L "$folder" -maxdepth 1 -name '*_Rain.gif' -printf '%p %s\n' | sort)
        if [[ ! -e $archive ]]; then
            run prepare source=eccc_gif input="$(quoted "$folder")" output="$(quoted "$archive")"
            echo "$files" >"$archive.files"
        elif [[ $files != "$(cat "$archive.files" 2>/dev/null)" ]]; then
            refuse "$archive was made of other files than those in $folder; choose another --output, or delete it"
        fi
    done
}

for experiment in "${what[@]}"; do
    $experiment
    python -m nowcast.commands.paper_report printed="$experiment" runs="$(quoted "$output")" quick=$quick
done
