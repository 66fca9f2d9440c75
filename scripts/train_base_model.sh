#!/bin/sh
# Train the general model of ad breaks, convert it to the int8 file that ships, and measure that against its gates.
#
#     scripts/train_base_model.sh DATA OUTPUT [OPTION...]
#
# DATA: labelled clips in any format (docs/dataset.md). OUTPUT: a folder. Further options go to `cliplab train`.
# CONFIG names another config, as scripts/train_sports_model.sh does. Exits with 1 where a gate is missed.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: $0 DATA OUTPUT [OPTION...]" >&2
    exit 2
fi
data=$1
output=$2
shift 2
cliplab=${CLIPLAB:-cliplab}
mkdir -p "$output"
$cliplab train "${CONFIG:-ads_base}" "$data" "$output/model" "$@"
$cliplab convert "$output/model" --quantize int8 --data "$data" --output "$output/model.tflite"
$cliplab evaluate "$output/model.tflite" "$data" --output "$output/evaluation.json"
