"""A picture compared with words: a local pair of an image and a text network scores frames by prompts, as CLIP does."""

from adapters.models.prompt_pair.adapter import PromptPairAdapter

__all__ = ["PromptPairAdapter"]
