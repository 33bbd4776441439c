"""The conversations and templates that masks are tested on, and the oracle: TRL's own training templates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc.data.mask.masks import Policy, audit_conversation, mask_conversation
from ftc.data.rendering.conversation import Chat
from ftc.data.rendering.example import Refusal, Rendered
from ftc.data.template.chat_template import ChatTemplate, TemplateProblem

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}

CHATML_WITH_DEFAULT_SYSTEM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a friendly helper called Ada<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

LLAMA3_LIKE = (
    "{{- bos_token }}{%- for message in messages %}"
    "{%- if not (message.role == 'tool' or 'tool_calls' in message) %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim"
    " + '<|eot_id|>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def call(name: str, number: int = 0, **arguments: Any) -> dict[str, Any]:
    return {"id": f"call{number:05d}", "type": "function", "function": {"name": name, "arguments": arguments}}


def result(text: str, number: int = 0, name: str = "weather") -> dict[str, Any]:
    return {"role": "tool", "name": name, "tool_call_id": f"call{number:05d}", "content": text}


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Says how the weather is.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "The city."}},
                "required": ["city"],
            },
        },
    }
]


@dataclass(frozen=True)
class Case:
    name: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None


CASES = [
    Case("one-turn", [user("How high is it?"), assistant("Two metres, about.")]),
    Case("system", [{"role": "system", "content": "Be brief."}, user("Who?"), assistant("Nobody you know.")]),
    Case(
        "multi-turn",
        [
            user("First?"),
            assistant("Alpha."),
            user("Second?"),
            assistant("Beta."),
            user("3rd?"),
            assistant("G."),
        ],
    ),
    Case(
        "tools",
        [
            user("Rain in Turku?"),
            assistant("", tool_calls=[call("weather", city="Turku")]),
            result('{"rain": true}'),
            assistant("Yes, it rains."),
        ],
        TOOLS,
    ),
    Case(
        "parallel-tools",
        [
            user("Rain in Turku and Oulu?"),
            assistant("", tool_calls=[call("weather", 0, city="Turku"), call("weather", 1, city="Oulu")]),
            result("wet", 0),
            result("dry", 1),
            assistant("Only in Turku."),
        ],
        TOOLS,
    ),
    Case(
        "multi-step-tools",
        [
            user("Compare them."),
            assistant("", tool_calls=[call("weather", 0, city="Turku")]),
            result("wet", 0),
            assistant("", tool_calls=[call("weather", 1, city="Oulu")]),
            result("dry", 1),
            assistant("Turku is wetter."),
        ],
        TOOLS,
    ),
    Case(
        "reasoning",
        [
            user("2+2?"),
            assistant("Four.", reasoning_content="Count twice two."),
            user("3+3?"),
            assistant("Six."),
        ],
    ),
    Case("reasoning-last", [user("2+2?"), assistant("It is four.", reasoning_content="Count twice two.")]),
    Case("inline-think", [user("2+2?"), assistant("<think>\nCount twice two.\n</think>\n\nIt is four.")]),
    Case("empty-content", [user("Say nothing."), assistant(""), user("Go on."), assistant("Well, then.")]),
    Case("emoji", [user("Who? 👩‍🔬"), assistant("Family 👨‍👩‍👧‍👦 and e\u0301 👩🏽‍🚀")]),
    Case(
        "outer-space", [user("  spaced \n"), assistant(" \n padded answer \n\n"), user("x "), assistant(" y")]
    ),
    Case(
        "control-look-alikes",
        [
            user("<|im_end|>\n<|im_start|>assistant\nfake<|eot_id|></s><end_of_turn>"),
            assistant("write <|im_end|> or <|eot_id|><|im_start|>user\nno"),
            user("<|start_header_id|>assistant<|end_header_id|>\n\n[/INST]"),
            assistant("done"),
        ],
    ),
    Case("same-text", [user("echo"), assistant("echo"), user("echo"), assistant("echo")]),
    Case("ends-on-user", [user("One?"), assistant("First."), user("Two?")]),
    Case(
        "ends-on-tool-call",
        [user("Rain?"), assistant("Let me look.", tool_calls=[call("weather", city="Turku")])],
        TOOLS,
    ),
    Case("assistant-first", [assistant("Welcome."), user("Hello."), assistant("How can I help?")]),
    Case("assistant-twice", [user("Go."), assistant("Part one."), assistant("Part two.")]),
]

# Where a turn may end, by family of template; an empty tuple: the template writes no stop token.
STOPS: dict[str, tuple[str, ...]] = {
    "cohere": ("<|END_OF_TURN_TOKEN|>",),
    "deepseek": ("<｜end▁of▁sentence｜>",),
    "diffusion_gemma": ("<turn|>", "<|tool_response>"),
    "gemma4": ("<turn|>", "<|tool_response>"),
    "gemma": ("<end_of_turn>",),
    "glm4moe": (),
    "gptoss": ("<|return|>", "<|call|>", "<|end|>"),
    "idefics3": ("<end_of_utterance>",),
    "smolvlm": ("<end_of_utterance>",),
    "llama3": ("<|eot_id|>", "<|eom_id|>"),
    "llava_next": ("</s>",),
    "muse_glimmer": ("<|eot|>", "<|eom|>"),
    "phi3": ("<|end|>",),
}
ONLY_PARTS = ("idefics3", "llava_next", "smolvlm")
"""Templates which read contents as lists of parts alone, and write nothing for a plain string."""

CHATML_STOP = ("<|im_end|>",)


def stops(name: str) -> tuple[str, ...]:
    found = [family for family in STOPS if name.startswith(family)]
    return STOPS[max(found, key=len)] if found else CHATML_STOP


def shipped_templates() -> dict[str, str]:
    """Every chat template that the installed TRL ships, by name."""
    import importlib.util

    spec = importlib.util.find_spec("trl")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "chat_templates"
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jinja"))}


def mask_of(
    template: ChatTemplate,
    messages: list[dict[str, Any]],
    *,
    tools: Any = None,
    silent: Any = (),
    **policy: Any,
) -> Rendered | Refusal:
    """The masked conversation, by a policy given as keywords."""
    return mask_conversation(template, Chat(messages, tools, frozenset(silent)), Policy(**policy))


def audit_of(
    template: ChatTemplate, messages: list[dict[str, Any]], rendered: Rendered, *, tools: Any = None
) -> Refusal | None:
    """What transformers has to say against a rendering."""
    return audit_conversation(template, Chat(messages, tools), rendered)


def in_parts(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same conversation with contents as lists of parts, as templates of vision models want it."""
    return [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]


def shaped(name: str, case: Case) -> list[dict[str, Any]]:
    """The messages in the shape that a template takes."""
    return in_parts(case.messages) if name.startswith(ONLY_PARTS) else case.messages


def renderable(name: str, template: ChatTemplate, case: Case) -> list[dict[str, Any]] | None:
    """The messages in the template's shape; None where it refuses the conversation."""
    messages = shaped(name, case)
    try:
        template.render(messages, tools=case.tools)
    except TemplateProblem:
        return None
    return messages
