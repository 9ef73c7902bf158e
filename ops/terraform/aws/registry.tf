resource "aws_ecr_repository" "this" {
  for_each             = toset(["ffapi-control", "ffapi-worker", "ffapi-worker-vaapi"])
  name                 = "${var.name}/${each.key}"
  image_tag_mutability = "IMMUTABLE"
  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.this.arn
  }
  image_scanning_configuration {
    scan_on_push = true
  }
}
