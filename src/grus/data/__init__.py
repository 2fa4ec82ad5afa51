"""Series on one calendar, sequences and texts with labels: from files and tables, read strictly."""

from __future__ import annotations

from grus.data.calendar import Step
from grus.data.missing import STRATEGIES, remove
from grus.data.panel import Columns, Panel, Series
from grus.data.reading import read_panel
from grus.data.scaling import Scaling, ScalingFit
from grus.data.sequence_batches import SequenceBatches
from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_inputs import SequenceInputs, prepare
from grus.data.sequence_reading import read_sequences
from grus.data.sequence_scaling import SequenceScaling
from grus.data.sequence_splitting import folds, split_sequences
from grus.data.sequences import Labels, Sequences, Texts, Tokens, make_labels
from grus.data.splitting import Split, split
from grus.data.streaming import PanelStream, SplitStream, WindowStream, open_panels
from grus.data.texts import read_texts
from grus.data.tokens import tokenize, train_tokenizer
from grus.data.windows import Batch, Channels, Windows

__all__ = [
    "STRATEGIES",
    "Batch",
    "Channels",
    "Columns",
    "Labels",
    "Panel",
    "PanelStream",
    "Scaling",
    "ScalingFit",
    "SequenceBatches",
    "SequenceColumns",
    "SequenceInputs",
    "SequenceScaling",
    "Sequences",
    "Series",
    "Split",
    "SplitStream",
    "Step",
    "Texts",
    "Tokens",
    "WindowStream",
    "Windows",
    "folds",
    "make_labels",
    "open_panels",
    "prepare",
    "read_panel",
    "read_sequences",
    "read_texts",
    "remove",
    "split",
    "split_sequences",
    "tokenize",
    "train_tokenizer",
]
