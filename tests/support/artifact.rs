//! Artifacts as their tools push them.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use oci_client::client::{Config, ImageLayer};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciImageManifest};

pub const TITLE: &str = "org.opencontainers.image.title";

/// As `tar czf` makes it of these files. A path that ends with `/` is a folder.
pub fn tar_gz(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// A gzip-compressed tar with one entry of this kind and path, whatever they are.
pub fn odd_tar_gz(kind: tar::EntryType, path: &str, size: usize) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_cksum();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(header.as_bytes()).unwrap();
    encoder
        .write_all(&vec![b' '; size.next_multiple_of(512) + 1024])
        .unwrap();
    encoder.finish().unwrap()
}

fn annotated(data: impl Into<Vec<u8>>, kind: &str, annotations: &[(&str, &str)]) -> ImageLayer {
    let annotations: BTreeMap<_, _> = annotations
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    ImageLayer::new(data.into(), kind.into(), Some(annotations))
}

/// `oras push HOST/REPOSITORY:TAG FILE…`: a layer with a title for each file.
pub fn oras_files(files: &[(&str, &str)]) -> Vec<ImageLayer> {
    let layer =
        |(path, text): &(&str, &str)| annotated(*text, "application/vnd.oci.image.layer.v1.tar", &[(TITLE, path)]);
    files.iter().map(layer).collect()
}

/// `oras push HOST/REPOSITORY:TAG FOLDER`: the folder is an archive, with its own name before each path.
pub fn oras_folder(folder: &str, files: &[(&str, &str)]) -> Vec<ImageLayer> {
    vec![annotated(
        tar_gz(files),
        "application/vnd.oci.image.layer.v1.tar+gzip",
        &[
            ("io.deis.oras.content.digest", "sha256:of-the-tar"),
            ("io.deis.oras.content.unpack", "true"),
            (TITLE, folder),
        ],
    )]
}

/// `flux push artifact`: the contents of a folder.
pub fn flux(files: &[(&str, &str)]) -> Vec<ImageLayer> {
    vec![annotated(
        tar_gz(files),
        "application/vnd.cncf.flux.content.v1.tar+gzip",
        &[],
    )]
}

/// Pushes layers, and tells the digest of their manifest.
pub async fn push(host: &str, repository: &str, tag: &str, layers: &[ImageLayer]) -> String {
    push_changed(host, repository, tag, layers, |_| {}).await
}

/// The same, with a manifest that says otherwise.
pub async fn push_changed(
    host: &str,
    repository: &str,
    tag: &str,
    layers: &[ImageLayer],
    change: impl FnOnce(&mut OciImageManifest),
) -> String {
    let config = Config::new("{}", "application/vnd.oci.empty.v1+json".into(), None);
    let mut manifest = OciImageManifest::build(layers, &config, None);
    change(&mut manifest);
    let (http, base) = (reqwest::Client::new(), format!("http://{host}/v2/{repository}"));
    // oci-client's own push wants a Location in each answer, which this registry leaves out.
    let blobs = layers.iter().map(|layer| (layer.sha256_digest(), layer.data.clone()));
    for (digest, data) in blobs.chain([(config.sha256_digest(), config.data.clone())]) {
        let upload = http.post(format!("{base}/blobs/uploads/?digest={digest}")).body(data);
        upload.send().await.unwrap().error_for_status().unwrap();
    }
    let upload = http
        .put(format!("{base}/manifests/{tag}"))
        .header("Content-Type", OCI_IMAGE_MEDIA_TYPE)
        .body(serde_json::to_vec(&manifest).unwrap());
    let pushed = upload.send().await.unwrap().error_for_status().unwrap();
    pushed.headers()["docker-content-digest"].to_str().unwrap().to_owned()
}
