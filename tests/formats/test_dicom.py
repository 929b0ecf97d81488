"""DICOM reading against files written by pydicom and compressed by pydicom and GDCM."""

import math
import zlib
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from competition.errors import CompetitionError
from competition.formats.dicom import read_dicom, read_dicom_grey, read_patient_id, read_spacing_mm

STORED = np.random.default_rng(3).integers(0, 4096, (23, 31)).astype(np.uint16)


@pytest.fixture
def plain(tmp_path, write_dicom):
    return write_dicom(tmp_path / "plain.dcm", STORED, PatientID="  P7 ", PixelSpacing=[0.25, 0.5])


def failure(path):
    with pytest.raises(CompetitionError) as caught:
        read_dicom(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


def compressed_by_gdcm(source, target, syntax):
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target


def test_stored_values_are_read_as_they_are(plain):
    dicom = read_dicom(plain)
    assert dicom.pixels.dtype == np.float32
    np.testing.assert_array_equal(dicom.pixels, STORED)
    assert (dicom.spacing_mm, dicom.patient_id) == ((0.25, 0.5), "P7")


def test_signed_values_keep_their_sign(tmp_path, write_dicom):
    stored = np.array([[-1000, 0], [5, 3000]], np.int16)
    np.testing.assert_array_equal(read_dicom(write_dicom(tmp_path / "a.dcm", stored)).pixels, stored)


def test_rescale_is_slope_times_value_plus_intercept(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", STORED, RescaleSlope="0.5", RescaleIntercept="-1024")
    np.testing.assert_array_equal(read_dicom(path).pixels, STORED.astype(np.float64) * 0.5 - 1024)


def test_an_empty_rescale_changes_nothing(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", STORED, RescaleSlope="", RescaleIntercept="")
    np.testing.assert_array_equal(read_dicom(path).pixels, STORED)


def test_monochrome1_is_turned_so_that_bright_is_dense(tmp_path, write_dicom):
    stored = np.array([[10, 30], [50, 110]], np.uint16)
    path = write_dicom(tmp_path / "a.dcm", stored, PhotometricInterpretation="MONOCHROME1", RescaleIntercept="5")
    np.testing.assert_array_equal(read_dicom(path).pixels, [[115, 95], [75, 15]])
    np.testing.assert_array_equal(read_dicom_grey(path), [[255, 204], [153, 0]])


def test_a_picture_is_stretched_from_its_own_minimum_to_its_own_maximum(plain):
    grey = read_dicom_grey(plain)
    low, high = int(STORED.min()), int(STORED.max())
    expected = [[round((int(value) - low) * 255 / (high - low)) for value in row] for row in STORED]
    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey, expected)


def test_a_constant_picture_is_black(tmp_path, write_dicom):
    assert not read_dicom_grey(write_dicom(tmp_path / "a.dcm", np.full((4, 5), 900, np.uint16))).any()


@pytest.mark.parametrize(
    "syntax", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1", "JPEG2000Lossless", "JPEGLSLossless"]
)
def test_compressed_pixel_data_comes_out_exactly(tmp_path, plain, syntax):
    path = compressed_by_gdcm(plain, tmp_path / "packed.DCM", getattr(gdcm.TransferSyntax, syntax))
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(read_dicom(path).pixels, STORED)


def test_run_length_compression_comes_out_exactly(tmp_path, plain):
    dataset = pydicom.dcmread(plain)
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "rle.dcm")
    np.testing.assert_array_equal(read_dicom(tmp_path / "rle.dcm").pixels, STORED)


def test_every_cut_of_a_file_is_an_error(tmp_path, plain):
    content = plain.read_bytes()
    for length in [*range(0, len(content) - STORED.nbytes, 37), len(content) // 2, len(content) - 1]:
        cut = tmp_path / "cut.dcm"
        cut.write_bytes(content[:length])
        failure(cut)


@pytest.mark.parametrize("share", [0.5, 0.97])
def test_a_cut_compressed_file_is_an_error_and_nothing_else_is_printed(tmp_path, plain, share, recwarn):
    whole = compressed_by_gdcm(plain, tmp_path / "whole.dcm", gdcm.TransferSyntax.JPEGLosslessProcess14_1).read_bytes()
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(whole[: int(len(whole) * share)])
    assert "no pixel data, or is truncated" in failure(cut)
    assert not recwarn.list


def test_damaged_compressed_data_is_an_error(tmp_path, plain):
    dataset = pydicom.dcmread(plain)
    dataset.compress(RLELossless)
    dataset.PixelData = dataset.PixelData[:40] + bytes(len(dataset.PixelData) - 40)
    dataset.save_as(tmp_path / "bad.dcm")
    assert "can't be decoded" in failure(tmp_path / "bad.dcm")


def test_a_file_without_pixel_data_is_an_error(tmp_path, plain):
    dataset = pydicom.dcmread(plain)
    del dataset.PixelData
    dataset.save_as(tmp_path / "report.dcm")
    assert "no pixel data" in failure(tmp_path / "report.dcm")


def test_what_is_no_dicom_is_an_error(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"\x89PNG no dicom" * 50)
    assert "no DICOM" in failure(tmp_path / "a.dcm")
    assert "not found" in failure(tmp_path / "b.dcm")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"NumberOfFrames": 2, "PixelData": STORED.tobytes() * 2}, "2 frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR, grey is expected"),
        ({"RescaleSlope": "0"}, "rescale slope of 0"),
    ],
)
def test_pictures_of_another_kind_are_errors(tmp_path, write_dicom, attributes, expected):
    assert expected in failure(write_dicom(tmp_path / "a.dcm", STORED, **attributes))


def test_a_spacing_that_is_no_number_is_an_error(tmp_path, plain):
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(plain.read_bytes().replace(b"0.25\\0.5", b"x.25\\0.5"))
    assert "PixelSpacing is no number" in failure(bad)


def test_float_pixels_that_are_no_number_are_an_error(tmp_path, plain):
    dataset = pydicom.dcmread(plain)
    del dataset.PixelData
    values = STORED.astype(np.float32)
    dataset.BitsAllocated, dataset.FloatPixelData = 32, values.tobytes()
    dataset.save_as(tmp_path / "good.dcm")
    np.testing.assert_array_equal(read_dicom(tmp_path / "good.dcm").pixels, values)
    values[5, 6] = math.nan
    dataset.FloatPixelData = values.tobytes()
    dataset.save_as(tmp_path / "nan.dcm")
    assert "1 of 713 values that are not finite" in failure(tmp_path / "nan.dcm")


def test_the_detectors_spacing_counts_where_there_is_no_other(tmp_path, write_dicom):
    both = write_dicom(tmp_path / "a.dcm", STORED, PixelSpacing=[0.2, 0.3], ImagerPixelSpacing=[0.4, 0.5])
    detector = write_dicom(tmp_path / "b.dcm", STORED, ImagerPixelSpacing=[0.4, 0.5])
    none = write_dicom(tmp_path / "c.dcm", STORED)
    zero = write_dicom(tmp_path / "d.dcm", STORED, PixelSpacing=[0, 0.5])
    expected = [(0.2, 0.3), (0.4, 0.5), None, None]
    assert [read_spacing_mm(path) for path in (both, detector, none, zero)] == expected
    assert [read_dicom(path).spacing_mm for path in (both, detector, none, zero)] == expected


def test_the_header_alone_tells_the_patient(tmp_path, plain, write_dicom):
    header = tmp_path / "header.dcm"
    header.write_bytes(plain.read_bytes()[: -STORED.nbytes])
    assert read_patient_id(header) == "P7"
    assert read_patient_id(write_dicom(tmp_path / "a.dcm", STORED)) == ""
    with pytest.raises(CompetitionError, match="no DICOM"):
        read_patient_id(Path(__file__))


def test_a_file_without_preamble_and_prefix_is_read(tmp_path, plain):
    dataset = pydicom.dcmread(plain)
    bare = tmp_path / "bare.dcm"
    pydicom.dcmwrite(bare, pydicom.Dataset(dict(dataset.items())), implicit_vr=False, little_endian=True)
    assert bare.read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(read_dicom(bare).pixels, STORED)
    assert read_patient_id(bare) == "P7"


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_no_part_of_the_grey_range(tmp_path, write_dicom, photometric):
    stored = np.array([[-2000, 100], [200, 300], [400, -1990]], np.int16)
    path = write_dicom(
        tmp_path / "a.dcm",
        stored,
        PhotometricInterpretation=photometric,
        PixelPaddingValue=-2000,
        PixelPaddingRangeLimit=-1990,
    )
    up, down = [[0, 0], [85, 170], [255, 0]], [[0, 255], [170, 85], [0, 0]]
    np.testing.assert_array_equal(read_dicom_grey(path), down if photometric == "MONOCHROME1" else up)


@pytest.mark.parametrize(("written", "signed", "meant"), [(65535, True, -1), (-1, False, 65535)])
def test_padding_may_be_written_with_the_other_sign(tmp_path, write_dicom, written, signed, meant):
    stored = np.array([[meant, 100], [200, 300]], np.int16 if signed else np.uint16)
    path = write_dicom(tmp_path / "a.dcm", stored)
    with pydicom.dcmread(path) as dataset:
        dataset.add_new("PixelPaddingValue", "SS" if written < 0 else "US", written)
        dataset.save_as(path)
    np.testing.assert_array_equal(read_dicom(path).pixels, [[100, 100], [200, 300]])


@pytest.mark.parametrize(
    "padding", [{"Value": 65535}, {"Value": 300, "RangeLimit": 10}, {"Value": 0, "RangeLimit": 256}]
)
def test_padding_of_more_bits_than_the_pixels_marks_none(tmp_path, write_dicom, padding):
    stored = np.array([[0, 44], [10, 255]], np.uint8)
    attributes = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    attributes |= {f"PixelPadding{name}": value for name, value in padding.items()}
    np.testing.assert_array_equal(read_dicom(write_dicom(tmp_path / "a.dcm", stored, **attributes)).pixels, stored)


@pytest.mark.parametrize(
    ("function", "centre", "width", "expected"),  # of the formulas in PS3.3 C.11.2.1.2 and C.11.2.1.3.2
    [
        ("LINEAR_EXACT", 0.5, 0.5, [0, 0, 64, 255]),  # 0.25 to 0.75
        ("SIGMOID", 0.5, 0.5, [0, 0, 64, 255]),
        ("LINEAR_EXACT", 0.5, 1, [0, 64, 96, 255]),
        ("LINEAR", 0.875, 1, [0, 0, 0, 255]),  # a step above 0.375
        ("LINEAR", 1, 2, [0, 64, 96, 255]),
        ("LINEAR", 0.5, 0.5, None),
        ("LINEAR_EXACT", 0.5, 0, None),
    ],
)
def test_windows_are_as_narrow_as_their_function_allows(tmp_path, write_dicom, function, centre, width, expected):
    stored = np.array([[0, 2, 3, 8]], np.uint16)
    window = {"VOILUTFunction": function, "WindowCenter": centre, "WindowWidth": width}
    path = write_dicom(tmp_path / "a.dcm", stored, RescaleSlope="0.125", RescaleIntercept="0", **window)
    if expected is not None:
        np.testing.assert_array_equal(read_dicom_grey(path, "voi"), [expected])
        return
    with pytest.raises(CompetitionError, match="no VOI window"):
        read_dicom_grey(path, "voi")


@pytest.mark.parametrize(
    ("photometric", "shape", "mirrored"),
    [
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
    ],
)
def test_a_picture_is_mirrored_once_at_most(tmp_path, write_dicom, photometric, shape, mirrored):
    stored = np.array([[10, 30], [50, 110]], np.uint16)
    path = write_dicom(tmp_path / "a.dcm", stored, PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    np.testing.assert_array_equal(read_dicom(path).pixels, 120 - stored if mirrored else stored)


def test_the_modality_table_is_applied(tmp_path, write_dicom):
    table = pydicom.Dataset()
    table.LUTDescriptor = [4, 0, 16]
    table.ModalityLUTType = "OD"
    table.add_new("LUTData", "US", [5, 50, 500, 5000])
    stored = np.array([[0, 1], [2, 3]], np.uint16)
    path = write_dicom(tmp_path / "a.dcm", stored, ModalityLUTSequence=pydicom.Sequence([table]))
    np.testing.assert_array_equal(read_dicom(path).pixels, [[5, 50], [500, 5000]])


def test_grey_in_three_equal_channels_is_grey_and_colour_is_not(tmp_path, write_dicom):
    grey = (STORED // 16).astype(np.uint8)
    colour = np.stack([grey] * 3, axis=2)
    attributes = {
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "PhotometricInterpretation": "RGB",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    }
    path = write_dicom(tmp_path / "a.dcm", grey, **attributes, PixelData=colour.tobytes() + b"\0")
    np.testing.assert_array_equal(read_dicom(path).pixels, grey)
    colour[3, 4, 1] += 1
    path = write_dicom(tmp_path / "b.dcm", grey, **attributes, PixelData=colour.tobytes() + b"\0")
    assert "its channels differ" in failure(path)
    path = write_dicom(tmp_path / "c.dcm", STORED, SamplesPerPixel=3)
    assert "MONOCHROME2 but has 3 samples per pixel" in failure(path)


@pytest.mark.filterwarnings("ignore:Invalid value for VR IS")
def test_a_number_of_frames_that_is_no_number_is_an_error(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", STORED, NumberOfFrames=77)
    path.write_bytes(path.read_bytes().replace(b"IS\x02\x0077", b"IS\x02\x00ab"))
    assert "NumberOfFrames is no number" in failure(path)


def test_a_declared_size_is_compared_before_memory_is_taken(tmp_path, write_dicom):
    assert "60000x60000 pixels" in failure(write_dicom(tmp_path / "a.dcm", STORED, Rows=60000, Columns=60000))


def test_a_deflated_bomb_is_an_error(tmp_path, plain):
    dataset = pydicom.dcmread(plain)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "good.dcm")
    np.testing.assert_array_equal(read_dicom(tmp_path / "good.dcm").pixels, STORED)
    head = (tmp_path / "good.dcm").read_bytes()
    start = 144 + pydicom.dcmread(tmp_path / "good.dcm").file_meta.FileMetaInformationGroupLength
    deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(300)) + deflater.flush()
    (tmp_path / "bomb.dcm").write_bytes(head[:start] + body)
    assert "deflated DICOM holds more than 256 MB" in failure(tmp_path / "bomb.dcm")
