# docker buildx bake --file deploy/docker-bake.hcl [--push | artifacts]
variable "IMAGE" { default = "ghcr.io/stagesub/orchestra-operator" }
variable "VERSION" { default = "0.1.0" }
# Times in the images: those of the commit, so that two builds of it are the same.
variable "SOURCE_DATE_EPOCH" { default = "0" }

group "default" { targets = ["image", "backup-image"] }

target "base" {
  context    = "."
  dockerfile = "deploy/Dockerfile"
  platforms  = ["linux/amd64", "linux/arm64"]
  args       = { SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH }
}

target "pushed" {
  attest = ["type=sbom", "type=provenance,mode=max"]
  output = ["type=image,rewrite-timestamp=true"]
  labels = {
    "org.opencontainers.image.licenses" = "Apache-2.0"
    "org.opencontainers.image.title"    = "orchestra-operator"
    "org.opencontainers.image.version"  = VERSION
  }
}

target "image" {
  inherits = ["base", "pushed"]
  target   = "image"
  tags     = ["${IMAGE}:${VERSION}"]
}

target "backup-program" {
  inherits = ["base"]
  target   = "backup"
}

# What the operator's flag --backup-image names where it is not set.
target "backup-image" {
  inherits   = ["base", "pushed"]
  dockerfile = "deploy/backup.Dockerfile"
  contexts   = { program = "target:backup-program" }
  tags       = ["${IMAGE}-backup:${VERSION}"]
  labels     = {
    "org.opencontainers.image.licenses" = "Apache-2.0 AND PostgreSQL"
    "org.opencontainers.image.title"    = "orchestra-operator-backup"
  }
}

target "artifacts" {
  inherits = ["base"]
  target   = "artifacts"
  output   = ["type=local,dest=target/artifacts"]
}
