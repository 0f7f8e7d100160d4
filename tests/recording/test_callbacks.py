"""Trainings by the real libraries: recorded as by hand, and the same as without recording."""

import copy
import random
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import DataError, InputError
from infoplane.runs.run import Run

pytestmark = [
    pytest.mark.filterwarnings("ignore:::lightning"),
    pytest.mark.filterwarnings("ignore:::torch"),
    pytest.mark.filterwarnings("ignore:::transformers"),
]


def random_state():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()


def seed():
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)


def same(one, other):
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def batches(probe):
    data = torch.utils.data.TensorDataset(
        torch.from_numpy(probe.inputs), torch.from_numpy(probe.labels)
    )
    return torch.utils.data.DataLoader(data, batch_size=24, shuffle=True)


class TestLightning:
    @pytest.fixture(autouse=True)
    def _library(self):
        pytest.importorskip("lightning.pytorch")

    def module(self):
        import lightning.pytorch as lightning

        class Module(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(
                    nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(0.3)
                )
                self.head = nn.Linear(8, 2)

            def forward(self, x):
                return self.head(self.net(x))

            def training_step(self, batch, index):
                loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
                self.log("train_loss", loss)
                return loss

            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), lr=0.1)

        return Module()

    def trained(self, probe, folder, callback, **options):
        import lightning.pytorch as lightning
        from lightning.fabric.plugins.environments import LightningEnvironment

        seed()
        module = self.module()
        trainer = lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            callbacks=[callback] if callback else [],
            log_every_n_steps=1,
            plugins=[LightningEnvironment()],  # otherwise it loads mpi4py if that is there
            **options,
        )
        trainer.fit(module, batches(probe))
        return module, random_state()

    def test_training_is_recorded_and_not_disturbed(self, tmp_path, probe):
        from infoplane.recording.loops.lightning import LightningRecorder

        plain, draws = self.trained(probe, tmp_path, None)
        callback = LightningRecorder(probe, tmp_path / "r", schedule="every:4", layers=["**"])
        module, draws_recorded = self.trained(probe, tmp_path, callback)
        assert same(plain, module)
        assert draws == draws_recorded
        run = Run(tmp_path / "r")
        assert run.steps == (0, 4, 8, 10)
        assert run.step_info(4).metrics["train_loss"] > 0
        assert (run.step_info(4).epoch, run.step_info(10).epoch) == (0.8, 2.0)
        assert run.losses.steps.tolist() == list(range(1, 11))
        assert run.losses.losses[9] == pytest.approx(run.step_info(10).metrics["train_loss"])
        with torch.no_grad():
            expected = copy.deepcopy(module).eval().net[:2](torch.from_numpy(probe.inputs))
        np.testing.assert_array_equal(run.activations(10, "net.1"), expected)

    @pytest.mark.parametrize("sized", [True, False])
    def test_by_epoch(self, tmp_path, probe, sized, monkeypatch):
        from infoplane.recording.loops.lightning import LightningRecorder

        if not sized:
            monkeypatch.setattr(torch.utils.data.DataLoader, "__len__", lambda self: None)
        callback = LightningRecorder(probe, tmp_path / "r", schedule="epoch")
        self.trained(probe, tmp_path, callback)
        run = Run(tmp_path / "r")
        assert {step: run.step_info(step).epoch for step in run.steps} == {0: 0, 5: 1, 10: 2}

    def test_accumulated_gradients_make_one_step(self, tmp_path, probe):
        from infoplane.recording.loops.lightning import LightningRecorder

        callback = LightningRecorder(probe, tmp_path / "r", schedule="every:1")
        self.trained(probe, tmp_path, callback, accumulate_grad_batches=5)
        assert Run(tmp_path / "r").steps == (0, 1, 2)
        assert len(Run(tmp_path / "r").losses) == 0  # each would be that of a fifth of a step

    def test_disk_that_is_too_small(self, tmp_path, probe, caplog, monkeypatch):
        from infoplane.recording.loops.lightning import LightningRecorder

        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
        callback = LightningRecorder(probe, tmp_path / "r", schedule="every:4")
        self.trained(probe, tmp_path, callback)  # ten steps
        assert "training goes on: the run would take 4 steps x 120 samples" in caplog.text

    def test_probe_that_does_not_fit(self, tmp_path, probe, caplog):
        from infoplane.recording.loops.lightning import LightningRecorder

        wrong = (probe.inputs[:, :4], probe.labels)
        self.trained(probe, tmp_path, LightningRecorder(wrong, tmp_path / "r"))
        assert "recording ends at step 0, training goes on" in caplog.text
        assert not (tmp_path / "r").exists()
        with pytest.raises(DataError, match="model failed on probe inputs of shape"):
            self.trained(
                probe, tmp_path, LightningRecorder(wrong, tmp_path / "r", on_error="raise")
            )


class TestHuggingFace:
    @pytest.fixture(autouse=True)
    def _library(self):
        pytest.importorskip("transformers")
        pytest.importorskip("accelerate")

    def trained(self, folder, callbacks, **options):
        from transformers import (
            BertConfig,
            BertForSequenceClassification,
            Trainer,
            TrainingArguments,
        )

        seed()
        config = BertConfig(
            vocab_size=20,
            hidden_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=12,
        )
        model = BertForSequenceClassification(config)
        rows = [{"input_ids": row, "labels": row[0] % 2} for row in torch.randint(0, 20, (24, 6))]
        arguments = TrainingArguments(
            output_dir=str(folder),
            max_steps=5,
            per_device_train_batch_size=8,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            **options,
        )
        Trainer(model, arguments, train_dataset=rows, callbacks=callbacks).train()
        return model, random_state()

    def test_training_is_recorded_and_not_disturbed(self, tmp_path):
        from infoplane.recording.loops.huggingface import HuggingFaceRecorder

        tokens = np.random.default_rng(0).integers(0, 20, (30, 6))
        plain, draws = self.trained(tmp_path / "a", [])
        layers = ["bert.encoder.layer.*", "bert['last_hidden_state']", "bert.pooler", "classifier"]
        callback = HuggingFaceRecorder(
            (tokens, tokens[:, 0] % 2), tmp_path / "r", schedule=[0, 2], layers=layers
        )
        model, draws_recorded = self.trained(tmp_path / "b", [callback])
        assert same(plain, model)
        assert draws == draws_recorded
        run = Run(tmp_path / "r")
        assert run.steps == (0, 2, 5)
        assert [layer.name for layer in run.layers] == [
            "bert.encoder.layer.0",
            "bert.encoder.layer.1",
            "bert.pooler",
            "bert['last_hidden_state']",
            "classifier",
        ]
        with torch.no_grad():
            output = model.eval()(torch.from_numpy(tokens), output_hidden_states=True)
        for name, expected in [
            ("bert.encoder.layer.0", output.hidden_states[1].flatten(1)),
            ("bert['last_hidden_state']", output.hidden_states[2].flatten(1)),
            ("classifier", output.logits),
        ]:
            np.testing.assert_array_equal(run.activations(5, name), expected)

    @pytest.mark.parametrize(("every", "steps"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4])])
    def test_what_the_trainer_logs_is_in_the_log(self, every, steps, tmp_path):
        from infoplane.recording.loops.huggingface import HuggingFaceRecorder

        tokens = np.random.default_rng(0).integers(0, 20, (30, 6))
        callback = HuggingFaceRecorder((tokens, tokens[:, 0] % 2), tmp_path / "r", schedule="epoch")
        self.trained(tmp_path / "a", [callback], logging_steps=every)
        run = Run(tmp_path / "r")
        assert {step: run.step_info(step).epoch for step in run.steps} == pytest.approx(
            {0: 0, 3: 1, 5: 5 / 3}
        )
        log = run.losses
        assert log.steps.tolist() == steps
        assert (log.losses > 0).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of keras
class TestKeras:
    def test_training_is_recorded_and_not_disturbed(self, tmp_path, probe, monkeypatch):
        monkeypatch.setenv("KERAS_BACKEND", "torch")
        keras = pytest.importorskip("keras")
        if keras.backend.backend() != "torch":
            pytest.skip(f"keras runs on {keras.backend.backend()}")
        from infoplane.recording.loops.keras import KerasRecorder

        def trained(*callbacks):
            keras.utils.set_random_seed(5)
            inner = keras.Sequential(
                [keras.layers.Dense(4, activation="relu", name="deep")], name="body"
            )
            model = keras.Sequential(
                [
                    keras.layers.Input((5,)),
                    keras.layers.Dense(8, activation="tanh", name="fc1"),
                    keras.layers.BatchNormalization(name="norm"),
                    keras.layers.Dropout(0.5, name="drop"),
                    inner,
                    keras.layers.Dense(2, name="out"),
                ]
            )
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile("sgd", loss)
            history = model.fit(
                probe.inputs, probe.labels, 24, 2, verbose=0, callbacks=list(callbacks)
            )
            return model, history.history["loss"]

        plain, losses = trained()
        model, losses_recorded = trained(
            KerasRecorder(probe, tmp_path / "r", schedule="every:4", layers=["**", "!**_torch*"])
        )
        assert losses == losses_recorded
        for one, other in zip(plain.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
        run = Run(tmp_path / "r")
        assert run.steps == (0, 4, 8, 10)
        assert [layer.name for layer in run.layers] == ["fc1", "norm", "drop", "body.deep", "out"]
        assert run.step_info(4).metrics["loss"] > 0
        with torch.no_grad():
            expected = model(torch.from_numpy(probe.inputs), training=False).detach()
        np.testing.assert_array_equal(run.activations(10, "out"), expected)

    def test_disk_that_is_too_small(self, tmp_path, probe, monkeypatch):
        from infoplane.recording.loops.keras import KerasRecorder
        from tests.conftest import small_net

        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
        callback = KerasRecorder(probe, tmp_path / "r", schedule="every:2", on_error="raise")
        callback.set_params({"epochs": 3, "steps": 5})
        callback.set_model(small_net())
        with pytest.raises(DataError, match="would take 9 steps"):
            callback.on_train_begin()

    def test_any_loop_with_these_callbacks_will_do(self, tmp_path, probe):
        from infoplane.recording.loops.keras import KerasRecorder
        from tests.conftest import small_net

        callback = KerasRecorder(probe, tmp_path / "r", schedule="every:2")
        with pytest.raises(InputError, match="set_model"):
            callback.on_train_begin()
        with pytest.raises(InputError, match="expected a torch module, got dict") as error:
            callback.set_model({})
        assert "KERAS_BACKEND=torch" in error.value.hint
        callback.set_model(small_net())
        callback.on_train_begin()
        callback.on_train_batch_begin(0)
        for batch in range(3):
            callback.on_train_batch_end(batch, {"loss": 0.5})
        callback.on_train_end()
        assert Run(tmp_path / "r").steps == (0, 2, 3)

        by_epoch = KerasRecorder(probe, tmp_path / "e", schedule="epoch")
        by_epoch.set_model(small_net())
        by_epoch.on_train_begin()
        for epoch in range(2):  # of batches that nobody has counted
            by_epoch.on_epoch_begin(epoch)
            for batch in range(3):
                by_epoch.on_train_batch_end(batch)
            by_epoch.on_epoch_end(epoch)
        by_epoch.on_train_end()
        run = Run(tmp_path / "e")
        assert {step: run.step_info(step).epoch for step in run.steps} == {0: 0, 3: 1, 6: 2}
        with pytest.raises(AttributeError):
            callback.model  # noqa: B018


def train_in_parallel(rank, folder):
    """One of two processes: train with DDP and record; the batches differ, the weights do not."""
    from torch.nn.parallel import DistributedDataParallel

    from infoplane.recording.loops.keras import KerasRecorder
    from tests.conftest import small_net

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    torch.manual_seed(0)
    model = DistributedDataParallel(small_net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.linspace(-1, 1, 100).reshape(20, 5)
    callback = KerasRecorder((inputs, None), f"{folder}/r", schedule="every:2", on_error="raise")
    callback.set_model(model)
    callback.on_train_begin()
    for batch in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 5) + rank).square().sum().backward()
        optimizer.step()
        callback.on_train_batch_end(batch)
    callback.on_train_end()
    assert (callback.recorder is None) == (rank == 1)
    with torch.no_grad():
        np.save(f"{folder}/{rank}.npy", model.module(inputs))
    torch.distributed.destroy_process_group()


def test_one_of_several_processes_records(tmp_path):
    torch.multiprocessing.spawn(train_in_parallel, (str(tmp_path),), nprocs=2)
    run = Run(tmp_path / "r")
    assert run.steps == (0, 2, 3)
    assert [layer.name for layer in run.layers] == ["fc1", "act1", "fc2", "act2", "out"]
    for rank in (0, 1):
        expected = np.load(tmp_path / f"{rank}.npy")
        np.testing.assert_array_equal(run.activations(3, "out"), expected)
