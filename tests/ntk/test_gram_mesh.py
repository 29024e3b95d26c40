"""Examples split over the devices of a mesh: eight virtual ones, in a process of their own."""

import os
import subprocess
import sys
import textwrap

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.ntk.mesh import Placement
from kdtheory.ntk.schedule import all_tiles, share

FLAGS = os.environ.get("XLA_FLAGS", "")

_MESH = """
    import sys
    import flax.linen as nn, jax, numpy as np
    from kdtheory.ntk import gram
    from kdtheory.ntk.blockwise import Blockwise

    class Small(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.tanh(nn.Conv(8, (3, 3), strides=2)(x))
            x = nn.BatchNorm(use_running_average=True)(x)
            return nn.Dense(2)(nn.relu(nn.Dense(6)(x.reshape(x.shape[0], -1))))

    method, outputs = sys.argv[1:]
    devices = np.array(jax.devices())
    assert devices.size == 8
    rng = np.random.default_rng(0)
    # Neither length is a multiple of eight.
    x1, x2 = (rng.normal(size=(n, 6, 6, 3)).astype(np.float32) for n in (37, 13))
    variables = Small().init(jax.random.key(0), x1)
    meshes = [
        jax.sharding.Mesh(devices, ("rows",)),
        jax.sharding.Mesh(devices.reshape(2, 4), ("a", "b")),
    ]
    for second in (None, x2):
        one = gram(Small().apply, variables, x1, second, outputs=outputs, method=method)
        for mesh, batch_size, budget in (
            (meshes[0], None, None), (meshes[1], 16, None), (meshes[0], 8, "8MiB"),
        ):
            many = gram(
                Small().apply, variables, x1, second, outputs=outputs, method=method,
                mesh=mesh, batch_size=batch_size, memory_budget=budget,
            )
            assert many.shape == one.shape
            assert np.abs(many - one).max() <= 1e-6 * np.abs(one).max()
            if second is None and outputs != "diagonal":
                assert np.array_equal(many, many.T)

    if method == "layerwise":
        from kdtheory.ntk.inputs import cast, settings
        from kdtheory.ntk.layerwise import LayerwiseEngine
        from kdtheory.ntk.mesh import Placement
        with settings(None, variables) as dtype:
            engine = LayerwiseEngine(
                Small().apply, cast(variables, dtype), x1, 2, outputs=outputs,
                method=method, reason="", placement=Placement(meshes[0]),
            )
            rows = engine.features(cast(variables, dtype), x1, 40)
            for leaf in jax.tree.leaves(rows):
                # Each device holds its five examples, and no device another's.
                assert {part.data.shape[0] for part in leaf.addressable_shards} == {5}
                assert len({part.device for part in leaf.addressable_shards}) == 8
            tile = engine.tile(cast(variables, dtype), rows, None)
            assert not tile.sharding.is_fully_replicated
"""


@pytest.mark.parametrize(
    ("method", "outputs"),
    [
        ("layerwise", "full"),
        pytest.param("layerwise", "diagonal", marks=pytest.mark.slow),
        pytest.param("neural_tangents", "trace", marks=pytest.mark.slow),
    ],
)
def test_eight_devices_make_the_matrix_of_one(method, outputs):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_MESH), method, outputs],
        env={**os.environ, "XLA_FLAGS": f"{FLAGS} --xla_force_host_platform_device_count=8"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_one_device_needs_no_mesh():
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("rows",))
    assert Placement(mesh).count == Placement().count == 1


@given(st.integers(1, 12), st.integers(1, 12), st.booleans(), st.integers(1, 9))
def test_shares_are_even_and_leave_no_tile_out(rows, columns, symmetric, count):
    tiles = all_tiles(rows, rows if symmetric else columns, symmetric=symmetric)
    shares = [share(tiles, index, count) for index in range(count)]
    assert sorted(tile for part in shares for tile in part) == tiles
    sizes = [len(part) for part in shares]
    assert max(sizes) - min(sizes) <= 1


def test_a_share_touches_few_blocks():
    tiles = all_tiles(64, 64, symmetric=True)
    for count in (4, 16):
        touched = [
            len({block for tile in share(tiles, index, count) for block in tile})
            for index in range(count)
        ]
        # Rows of the matrix, split evenly, would need nearly all 64 blocks each.
        assert sum(touched) / count <= 2 * 64 / count**0.5
