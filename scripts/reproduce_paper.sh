#!/usr/bin/env bash
# The experiments of Shi et al. 2015, all rows and baselines, and a report with the paper's numbers beside ours.
#   scripts/reproduce_paper.sh [mnist|radar] [--data DIR] [--quick] [--output DIR] [-- key=value …]
# Without mnist or radar: both. Started again it goes on where it stopped.
#   --data DIR    MNIST's files (mnist); HKO-7, or a folder of Environment Canada's *_Rain.gif (radar).
#                 Without it MNIST is downloaded, and the radar experiment runs on synthetic echoes.
#   --quick       the whole chain at reduced size, in minutes on two cores
#   --output DIR  of the runs and the reports; outputs/reproduction or outputs/reproduction_quick
#   key=value     for every training; trainer=gpu is chosen by itself where there is a GPU
set -euo pipefail

usage() { sed -n '2,10s/^# \{0,1\}//p' "$0"; }
refuse() { echo "reproduce_paper.sh: $1" >&2; usage >&2; exit 2; }

what=() data='' quick=false output='' extra=()
while (($#)); do
    case $1 in
        mnist | radar) what+=("$1") ;;
        --data) data=${2:?--data needs a folder}; shift ;;
        --quick) quick=true ;;
        --output) output=${2:?--output needs a folder}; shift ;;
        --) shift; extra=("$@"); break ;;
        -h | --help) usage; exit ;;
        *) refuse "unknown argument $1" ;;
    esac
    shift
done
command -v nowcast >/dev/null || refuse "no command nowcast: make .venv/installed && source .venv/bin/activate"
((${#what[@]})) || what=(mnist radar)
[[ -z $data || ${#what[@]} == 1 ]] || refuse "--data belongs to one experiment: say mnist or radar before it"
[[ -z $data || -d $data ]] || refuse "--data $data: no such folder"
$quick && : "${output:=outputs/reproduction_quick}"
: "${output:=outputs/reproduction}"
if ((${#extra[@]} == 0)) && python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    extra=(trainer=gpu trainer.precision=32-true) # the paper's precision
fi

run() { echo "+ nowcast ${*@Q}"; nowcast "$@"; }
train() { # folder of the run, experiment, settings
    run train experiment="$2" output="$output/$1" resume=auto "${@:3}" "${extra[@]}"
}
# In the reduced chain a row has a network with fewer channels: the settings behind the row's name.
reduced() { if $quick; then echo "$1"; fi; }

mnist() {
    local settings=() row
    [[ -z $data ]] || settings+=(data.mnist="$data")
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
        run evaluate checkpoint="$output/mnist_convlstm_3layers/checkpoints/best.ckpt" data=moving_mnist \
            'data.test_digits=[500,1000]' data.test_digits_per_sequence=3 output="$output/mnist_three_digits/evaluation"
    fi
}

radar() {
    local settings=() variant=_synthetic tuned=$output/tuned_rover
    if [[ -n $data ]]; then
        mapfile -t folders < <(find "$data" -name '*_Rain.gif' -printf '%h\n' | sort -u)
        if ((${#folders[@]})); then
            variant=_open
            prepare_eccc "${folders[@]}"
            settings+=(data.archives.source.archives="[$output/archives]")
        else
            variant=''
            settings+=(data.archives.source.folder="$data")
        fi
    fi
    $quick && settings+=(reduced=radar$variant)
    # ROVER is tuned on the validation windows, like the paper's.
    if [[ ! -e $tuned/overrides.txt ]]; then
        echo "+ python -m nowcast.tune_baseline experiment=paper_radar$variant"
        python -m nowcast.tune_baseline experiment=paper_radar$variant "${settings[@]}" output="$tuned" "${extra[@]}"
    fi
    mapfile -t rover <"$tuned/overrides.txt"
    train paper_radar paper_radar$variant "${settings[@]}" "${rover[@]}" $(reduced 'model.hidden=[12,12]')
    train paper_radar_fc_lstm paper_radar$variant model=fc_lstm name=paper_radar_fc_lstm "${settings[@]}" \
        baselines.{persistence,extrapolation,rover1,rover2,rover3}=null $(reduced 'model.hidden=[100,100]')
}

prepare_eccc() { # folders of one radar each
    local folder archive
    for folder in "$@"; do
        archive=$output/archives/eccc_$(basename "$folder" | tr '[:upper:]' '[:lower:]').nc
        [[ -e $archive ]] || run prepare source=eccc_gif input="$folder" output="$archive"
    done
}

for experiment in "${what[@]}"; do
    $experiment
    python -m nowcast.paper_report printed="$experiment" runs="$output" quick=$quick
done
