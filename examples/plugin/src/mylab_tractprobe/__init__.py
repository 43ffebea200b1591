from tractprobe import Plugin

plugin = Plugin(
    {
        "mylab.its_encoder": ("encoder", "mylab_tractprobe.encoder:Bands"),
        "mylab.its_head": ("head", "mylab_tractprobe.head:Linear"),
        "mylab.its_reader": ("reader", "mylab_tractprobe.reader:Npz"),
    },
    conf="mylab_tractprobe/conf",
)
