terraform {
  required_version = ">= 1.10" # locks of the state in S3 itself

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0, < 7.0"
    }
  }

  # Bucket and region are named when it is initialised, see docs/deploy.md.
  backend "s3" {
    key          = "soulcaster/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { project = "soulcaster" }
  }
}
