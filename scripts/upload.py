"""Upload a checkpoint to the Hugging Face Hub, with a model card. A second upload replaces the first.

uv run python -m scripts.upload --repo=<user>/nano-deepencoder --file=checkpoints/deepencoder_1000.pt
uv run python -m scripts.upload --repo=<user>/nano-deepseek-ocr --file=checkpoints/step_1500.pt --public
uv run python -m scripts.upload --repo=<user>/nano-deepseek-ocr --file=exported
"""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token

from nanochat.checkpoint import load_model, load_weights, meta_path, read_meta
from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.tokenizer import RustBPETokenizer

CARD = """---
pipeline_tag: image-text-to-text
tags:
- ocr
- document-reading
- nano-deepseek-ocr
{library}---
# {title}

{what}

| | |
|---|---|
| parameters | {parameters:,} |
| training step | {step} |
| made from | `{source}` |

{use}
"""
ENCODER = (
    "The vision encoder of nano-deepseek-ocr: SAM, a 16x convolutional compressor, CLIP and the projector to the GPT."
)
ENCODER_USE = """Train a model on top of it:

```
uv run python -m scripts.vis_mid_train --resume_from_deepencoder=deepencoder.pt
```"""
MODEL = "A small model that reads documents: the vision encoder of nano-deepseek-ocr and a GPT, with its tokenizer."
MODEL_USE = """Read a page with it, all files of this repository in one folder:

```
uv run nano-ocr read page.png --checkpoint {checkpoint}
```"""
TRANSFORMERS_USE = """

With `transformers`:

```python
from transformers import pipeline

reader = pipeline("image-text-to-text", model="{repo}", trust_remote_code=True)
content = [{{"type": "image", "path": "page.png"}}, {{"type": "text", "text": "Free OCR."}}]
print(reader(text=[{{"role": "user", "content": content}}], max_new_tokens=1000, return_full_text=False))
```"""


@dataclass
class UploadConfig:
    repo: str
    """repository on the hub, owner/name; created if it does not exist"""
    file: Path
    """step_N.pt (uploaded with its meta_N.json and tokenizer), deepencoder_N.pt, or a folder from scripts.export"""
    public: bool = False
    """make a new repository public; an existing one keeps its visibility"""


def plan_upload(file: Path, repo: str) -> dict[str, Path | bytes]:
    """The files to upload and their names: an encoder as deepencoder.pt, a model as model.pt with its other files.

    An exported folder is uploaded as it is. Raises UserError if `file` is none of these, or if the metadata or the
    tokenizer of a model is missing.
    """
    if file.is_dir():
        return _plan_folder(file, repo)
    state = load_weights(file)
    parts = {name.split(".")[0] for name in state}
    if "sam_model" not in parts:
        raise UserError(f"{file} contains neither a model nor an encoder: give step_N.pt or deepencoder_N.pt")
    is_model = "gpt" in parts
    files: dict[str, Path | bytes] = {"model.pt" if is_model else "deepencoder.pt": file}
    if is_model:
        read_meta(file)  # raises UserError if it is invalid
        RustBPETokenizer.from_directory(file.parent)
        files["meta_model.json"] = meta_path(file)
        files["tokenizer.pkl"] = file.with_name("tokenizer.pkl")
    card = CARD.format(
        title=repo.split("/")[-1],
        what=MODEL if is_model else ENCODER,
        parameters=sum(
            value.numel() for value in state.values() if value.is_floating_point()
        ),  # the others are not weights
        step=file.stem.split("_")[-1],
        source=file.name,
        use=MODEL_USE.format(checkpoint="model.pt") if is_model else ENCODER_USE,
        library="",
    )
    return {**files, "README.md": card.encode()}


def _plan_folder(folder: Path, repo: str) -> dict[str, Path | bytes]:
    """Every file of an exported folder, with a model card that explains how to load it."""
    model, _, meta = load_model(folder)
    for_transformers = "auto_map" in meta
    card = CARD.format(
        title=repo.split("/")[-1],
        what=MODEL,
        parameters=sum(value.numel() for value in model.parameters()),
        step=meta.get("step", "not known"),
        source=folder.name,
        use=MODEL_USE.format(checkpoint="folder") + (TRANSFORMERS_USE.format(repo=repo) if for_transformers else ""),
        library="library_name: transformers\n" if for_transformers else "",
    )
    files: dict[str, Path | bytes] = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    return {**files, "README.md": card.encode()}


def upload(config: UploadConfig, api: HfApi) -> str:
    """Create the repository if necessary, upload all files in one commit, and return its URL.

    Raises UserError if the hub rejects the upload or cannot be reached.
    """
    files = plan_upload(config.file, config.repo)
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()]
    try:
        api.create_repo(config.repo, repo_type="model", private=not config.public, exist_ok=True)
        api.create_commit(config.repo, operations, commit_message=f"Upload {config.file.name}", repo_type="model")
    except Exception as error:  # the client raises errors of its own and of its HTTP library
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        advice = "check the network, and whether your token has write access"
        raise UserError(f"cannot upload {config.file} to {config.repo} ({reason}): {advice}") from error
    return f"{api.endpoint}/{config.repo}"


@entry_point
def main() -> None:
    """Upload a checkpoint to the Hugging Face Hub."""
    config = parse_args(UploadConfig, description=main.__doc__)
    if get_token() is None:
        raise UserError(
            "no token for the hub: run `uv run hf auth login`, or set HF_TOKEN to a token with write access"
        )
    print(f"Uploaded to {upload(config, HfApi())}")


if __name__ == "__main__":
    main()
