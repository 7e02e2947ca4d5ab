#!/usr/bin/env bash
# Archives for experiment=pretrained and experiment=open_radar from a folder with the providers' sample files.
#   scripts/prepare_open_radar.sh FOLDER
set -euo pipefail
source=${1:?usage: $0 FOLDER}
prepare() {  # name, format, folder
    [[ -e data/open_radar/$1.nc ]] || nowcast prepare source="$2" input="$source/$3" output="data/open_radar/$1.nc"
}
prepare knmi_20100826 knmi knmi_hdf5/20100826
prepare mch_20150515 mch_gif mch_gif/20150515
prepare mch_20160711 mch_gif mch_gif/20160711
prepare fmi_20160928 fmi_pgm fmi_pgm/20160928
prepare eccc_cascm eccc_gif eccc_dpqpe_gif/CASCM
prepare eccc_casgo eccc_gif eccc_dpqpe_gif/CASGO
prepare bom_20201031 bom bom_netcdf_c10/66
for file in "$source"/catalonia_cf/*.nc; do
    prepare "$(basename "$file" .nc)" netcdf "catalonia_cf/$(basename "$file")"
done
prepare mrms_20190610 mrms mrms_grib2/20190610
