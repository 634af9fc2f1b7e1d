terraform {
  required_providers {
    supabase = { source = "supabase/supabase" }
  }
}

# Endpoint and token come from the environment.
provider "supabase" {}

variable "size" {
  type    = string
  default = "micro"
}

variable "rows" {
  type    = number
  default = 1000
}

resource "supabase_project" "tenant" {
  organization_id         = "acme-org"
  name                    = "tenant-a"
  database_password       = "Owner-password.1"
  region                  = "eu-central-1"
  instance_size           = var.size
  legacy_api_keys_enabled = false
}

resource "supabase_settings" "tenant" {
  project_ref = supabase_project.tenant.id
  database    = jsonencode({ statement_timeout = "10s" })
  network     = jsonencode({ restrictions = ["0.0.0.0/0", "::/0"] })
  api = jsonencode({
    db_schema            = "public"
    db_extra_search_path = "public, extensions"
    max_rows             = var.rows
  })
  auth    = jsonencode({ site_url = "https://example.org", jwt_exp = 600 })
  storage = jsonencode({ fileSizeLimit = 1048576 })
}

resource "supabase_apikey" "worker" {
  project_ref = supabase_project.tenant.id
  name        = "worker"
}

resource "supabase_edge_function_secrets" "tenant" {
  project_ref = supabase_project.tenant.id
  secrets     = [{ name = "ONE", value = "top-secret" }]
}

data "supabase_pooler" "tenant" {
  project_ref = supabase_project.tenant.id
}

data "supabase_apikeys" "tenant" {
  project_ref = supabase_project.tenant.id
  depends_on  = [supabase_apikey.worker]
}
