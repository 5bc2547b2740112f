"""Which embedder the settings name."""

import subprocess
import sys

import pytest
from gemini_server import API_KEY, running_gemini

from soulcaster.embedders import make_embedder
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings


@pytest.mark.parametrize(
    ("choice", "key", "expected"),
    [
        ("auto", None, "minilm-l6-v2-int8@1"),
        ("auto", "   ", "minilm-l6-v2-int8@1"),
        ("auto", API_KEY, "gemini-embedding-001-768-clustering@1"),
        ("minilm", API_KEY, "minilm-l6-v2-int8@1"),
        ("static", API_KEY, "minilm-l6-v2-static-256@1"),
        ("gemini", API_KEY, "gemini-embedding-001-768-clustering@1"),
    ],
)
def test_settings_choose_the_embedder(settings: Settings, choice: str, key: str | None, expected: str) -> None:
    """A key turns 'auto' into Gemini; a name is obeyed whatever the key."""
    chosen = Settings(_env_file=None, home=settings.home, embedder=choice, gemini_api_key=key)
    assert make_embedder(chosen).model_id == expected


def test_gemini_without_a_key_is_refused_with_the_next_step(settings: Settings) -> None:
    """No switch to another model behind the owner's back."""
    chosen = Settings(_env_file=None, home=settings.home, embedder="gemini")
    with pytest.raises(PermanentError, match="SOULCASTER_GEMINI_API_KEY"):
        make_embedder(chosen)


def test_gemini_gets_address_model_and_key_from_the_settings(settings: Settings) -> None:
    """A proxy's address and another model reach the wire."""
    with running_gemini() as server:
        chosen = Settings(
            _env_file=None,
            home=settings.home,
            gemini_api_key=API_KEY,
            gemini_base_url=server.url,
            gemini_embedding_model="gemini-embedding-2",
        )
        assert make_embedder(chosen).embed(["a"]).shape == (1, 768)
        assert server.paths == ["/v1beta/models/gemini-embedding-2:batchEmbedContents"]


def test_choosing_an_embedder_loads_no_other_ones_libraries() -> None:
    """The static model starts without onnxruntime and without Google's SDK."""
    code = (
        "import sys; from soulcaster.embedders import make_embedder; from soulcaster.settings import Settings;"
        "make_embedder(Settings(_env_file=None, embedder='static')).embed(['a']);"
        "print(sorted({'onnxruntime', 'google.genai', 'httpx', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
