#!/bin/bash
# Install the free fonts, the word list and the English sentences for synthetic documents (Debian or Ubuntu; as root or
# with sudo). The fonts are installed for the whole machine; `fc-list` lists them.
#   bash runs/fonts.sh
set -euo pipefail

packages=(
    # sans
    fonts-dejavu-core fonts-dejavu-extra fonts-liberation fonts-open-sans fonts-lato fonts-roboto-unhinted
    fonts-noto-core fonts-crosextra-carlito fonts-cantarell fonts-cabin fonts-b612 fonts-inter fonts-manrope
    fonts-karla fonts-sil-andika fonts-oxygen fonts-play fonts-adf-verana fonts-urw-base35 fonts-tuffy
    fonts-quicksand fonts-comfortaa fonts-dosis fonts-jura fonts-clear-sans fonts-junction fonts-sora fonts-tiresias
    fonts-averia-sans-gwf fonts-gfs-neohellenic fonts-yanone-kaffeesatz fonts-thai-tlwg
    # serif
    fonts-crosextra-caladea fonts-ebgaramond fonts-linuxlibertine fonts-freefont-ttf fonts-sil-gentium fonts-sil-charis
    fonts-vollkorn fonts-lmodern fonts-stix fonts-gfs-didot fonts-adf-accanthis fonts-averia-serif-gwf
    fonts-century-catalogue fonts-gfs-artemisia fonts-goudybookletter fonts-junicode fonts-lindenhill
    fonts-oldstandard fonts-prociono fonts-yrsa-rasa
    # typewriters, receipts and code
    fonts-inconsolata fonts-hack fonts-firacode fonts-jetbrains-mono fonts-courier-prime fonts-anonymous-pro
    fonts-mononoki fonts-monoid fonts-agave fonts-go fonts-ocr-a fonts-ocr-b fonts-3270 fonts-fantasque-sans
    fonts-hermit fonts-league-mono fonts-monofur fonts-spleen fonts-unifont fonts-glasstty fonts-dotgothic16
    fonts-proggy
    # words and sentences
    wamerican wordnet-base
)

run=(env DEBIAN_FRONTEND=noninteractive)
if [ "$(id -u)" != 0 ]; then run=(sudo "${run[@]}"); fi
"${run[@]}" apt-get update -qq
"${run[@]}" apt-get install -y -qq --no-install-recommends fontconfig "${packages[@]}"
fc-cache -f
echo "fonts: $(fc-list : family | sort -u | wc -l) families; words: $(wc -l < /usr/share/dict/words)"
