#!/bin/sh
# Train the model of ad breaks in sports: shorter breaks, score bugs, replays. As scripts/train_base_model.sh.
#
#     scripts/train_sports_model.sh DATA OUTPUT [OPTION...]
set -eu
CONFIG=${CONFIG:-ads_sports} exec "$(dirname "$0")/train_base_model.sh" "$@"
