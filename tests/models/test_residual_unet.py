import torch

from competition.models.residual_unet import BLOCKS, ResidualBlock, ResidualUNet


def test_logits_have_the_size_of_the_image_and_while_training_of_each_supervised_level():
    network = ResidualUNet(channels=1, classes=3, prior=0.1, width=2)
    images = torch.rand(2, 1, 128, 256)
    assert [tuple(each.shape[2:]) for each in network.train()(images)] == [(128, 256), (64, 128), (32, 64), (16, 32)]
    assert network.eval()(images).shape == (2, 3, 128, 256)
    assert [len(level) for level in network.encoder] == [*BLOCKS] == [1, 3, 4, 6, 6, 6, 6]


def test_the_untrained_network_answers_about_the_prior():
    torch.manual_seed(0)
    network = ResidualUNet(channels=1, classes=1, prior=0.02, width=4).eval()
    assert network(torch.rand(1, 1, 128, 128)).sigmoid().mean() < 0.1


def test_a_block_adds_its_convolutions_to_an_averaged_shortcut():
    torch.manual_seed(0)
    block, features = ResidualBlock(2, 2, stride=2), torch.randn(1, 2, 4, 4)
    torch.nn.init.zeros_(block.second[1].weight)
    averaged = features.unfold(2, 2, 2).unfold(3, 2, 2).mean((-2, -1))
    torch.testing.assert_close(block(features), torch.where(averaged > 0, averaged, 0.01 * averaged))


def test_samples_do_not_see_each_other():
    torch.manual_seed(0)
    network, images = ResidualUNet(channels=1, classes=1, prior=0.1, width=2).train(), torch.rand(2, 1, 128, 128)
    torch.testing.assert_close(network(images)[0][:1], network(images[:1])[0], rtol=1e-4, atol=1e-4)
