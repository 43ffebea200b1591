# Sourced by gpu.sh, pretrain_gpu.sh and raise_gpu.sh: Python, this package, and small packages that travel as wheels.
#
# $python is $PYTHON, or .venv/bin/python if that is there, or python3. On a machine that has the large packages (torch,
# transformers, pytorch-lightning, scipy, scikit-learn, urllib3, pytest, pytest-xdist, hypothesis) and no network
# (Python 3.12, x86-64), the small ones travel as wheels, 8 MB, in .whl beside the repository's files, where they are
# found here and installed into a folder of their own. Fetched, where there is a network, by:
#
#     python -m pip wheel --no-deps -w .whl antlr4-python3-runtime==4.9.3      # has no wheel of its own
#     python -m pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
#         --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
#         --platform manylinux2014_x86_64 -d .whl hydra-core==1.3.8 omegaconf==2.3.1 soundfile==0.14.0 soxr==1.1.0 \
#         cffi==2.1.1 pycparser==3.12 lhotse==1.33.0 audioread==3.1.0 cytoolz==1.2.0 intervaltree==3.2.1 \
#         tabulate==0.10.0 beartype==0.23.1
#
# .whl is ignored by git. Where the machine is lent by a tool that carries a checkout: carry .whl, too.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-}
if [ -z "$python" ]; then
    python=python3
    if [ -x .venv/bin/python ]; then python=.venv/bin/python; fi
fi
path=$PWD/src
if compgen -G ".whl/*.whl" >/dev/null && ! "$python" -c 'import hydra, soundfile' 2>/dev/null; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl
    path=$path:$site
fi
export PYTHONPATH=$path HF_HUB_OFFLINE=1 WANDB_MODE=offline TQDM_DISABLE=1 PYTHONUNBUFFERED=1
