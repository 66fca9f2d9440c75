#!/bin/sh
# Convert a trained model, measure the file that ships, keep it as a version, and give it to staging.
#
#     scripts/convert_and_deploy.sh MODEL DATA NAME VERSION [OPTION...]
#
# MODEL: a bundle of `cliplab train`; MODEL.tflite and MODEL.evaluation.json are written beside it. DATA: labelled clips.
# NAME: such as base-ad-detector. VERSION: such as 1.2.0, or the word minor, patch or major for the next one.
# Further options go to `cliplab registry upload`, for example --description TEXT or --parent NAME@VERSION.
# QUANTIZE (int8) is the precision, ENVIRONMENT (staging) who gets it, CLIPLAB_REGISTRY the registry.
# Each line is one step; the first that fails, also by a gate that is missed, ends the script and changes nothing after it.
set -eu
if [ $# -lt 4 ]; then
    echo "usage: $0 MODEL DATA NAME VERSION [OPTION...]" >&2
    exit 2
fi
model=${1%/}
data=$2
name=$3
version=$4
shift 4
cliplab=${CLIPLAB:-cliplab}
$cliplab convert "$model" --quantize "${QUANTIZE:-int8}" --data "$data" --output "$model.tflite" --force
$cliplab evaluate "$model.tflite" "$data" --output "$model.evaluation.json" --force
stored=$($cliplab registry upload --model "$model.tflite" --name "$name" --version "$version" --metrics "$model.evaluation.json" --json "$@")
version=$(printf '%s' "$stored" | sed -n 's/^ *"version": "\([0-9.]*\)",*$/\1/p' | head -n 1)
$cliplab registry promote --model-id "$name" --version "$version" --environment "${ENVIRONMENT:-staging}"
