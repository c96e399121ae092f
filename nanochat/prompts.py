"""Named prompts, word for word those of the paper. A model understands only those that it was trained on."""

from collections.abc import Iterable

from nanochat.errors import UserError

PROMPTS = {
    "free": "<image>\nFree OCR.",
    "markdown": "<image>\n<|grounding|>Convert the document to markdown.",
    "ocr": "<image>\n<|grounding|>OCR this image.",
    "figure": "<image>\nParse the figure.",
    "describe": "<image>\nDescribe this image in detail.",
}
LOCATE = "<image>\nLocate <|ref|>{}<|/ref|> in the image."
TEXT_TASKS = ("free", "markdown", "ocr")  # tasks whose answer is the page's text, so that it can be read line by line


def one_picture(prompt: str) -> str:
    """Return the prompt. Raises UserError unless it has exactly one `<image>`."""
    if prompt.count("<image>") != 1:
        raise UserError(f"a prompt needs one <image>, where the image goes; this one has {prompt.count('<image>')}")
    return prompt


def asked(task: str = "free", prompt: str = "") -> str:
    """The prompt that the user chose: their own `prompt`, or else that of a named `task`.

    `\\n`, as typed in a shell, becomes a newline. Raises UserError for an unknown task, or for a prompt without exactly
    one `<image>`. The command line, batch jobs and the server call it before anything is loaded.
    """
    return one_picture(prompt.replace("\\n", "\n")) if prompt else prompt_for(task)


def names_of(prompts: Iterable[str]) -> list[str]:
    """The names of the given prompts, for those that have one, in the order of PROMPTS."""
    given = {prompt.strip() for prompt in prompts}
    return [name for name, prompt in PROMPTS.items() if prompt in given]


def prompt_for(task: str) -> str:
    """The prompt of a task: a name of PROMPTS, or `locate:TEXT`. Raises UserError for anything else."""
    name, colon, sought = task.partition(":")
    if name == "locate" and colon and sought.strip():
        return LOCATE.format(sought.strip())
    if task not in PROMPTS:
        raise UserError(f"no task called {task!r}: choose one of {', '.join(PROMPTS)}, or locate:TEXT")
    return PROMPTS[task]
